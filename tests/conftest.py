"""Shared fixtures: where the real data lie, and reproducible hypothesis runs."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("default")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real public data; tests that need it are skipped where it is missing."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("INFOALIGN_DATA", default))
    if not (root / "context").is_dir():
        pytest.skip("real data not found: set INFOALIGN_DATA to the folder that holds context/ and tasks/")
    return root


@pytest.fixture(scope="session")
def equations():
    """The module tests/models/published_equations.py: the published model, written out."""
    path = Path(__file__).parent / "models" / "published_equations.py"
    spec = importlib.util.spec_from_file_location("published_equations", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclass looks for itself
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def web():
    """A web server on this machine that behaves well or badly: tests/sources/web_server.py."""
    path = Path(__file__).parent / "sources" / "web_server.py"
    spec = importlib.util.spec_from_file_location("web_server", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    served, end = module.start()
    yield served
    end()
