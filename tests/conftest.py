"""Shared fixtures: where the real data lie, what is made once, a browser, reproducible hypothesis runs."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
def once(tmp_path_factory, request):
    """A function that makes a folder once for all test processes: ``once(name, make)``.

    Tests only read what is in it; one that writes takes a copy.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if hasattr(request.config, "workerinput") else base

    def make_once(name, make):
        folder = shared / name
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (shared / f"{name}.done").exists():
                shutil.rmtree(folder, ignore_errors=True)  # what a process left that failed
                folder.mkdir()
                make(folder)
                (shared / f"{name}.done").touch()
        return folder

    return make_once


@pytest.fixture(scope="session")
def simulated(once):
    """The graph ``simulated:200``, built once; tests leave it as it is."""
    from infoalign_dgl.context import ContextGraph, build_context_graph

    folder = once("simulated", lambda folder: build_context_graph("simulated:200").save(folder / "graph"))
    return ContextGraph.load(folder / "graph")


@pytest.fixture(scope="session")
def tiny():
    """The module tests/training/conftest.py: a small graph whose profiles follow from the structures."""
    path = Path(__file__).parent / "training" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


@pytest.fixture(scope="session")
def browser():
    """The system's Chromium, driven by Playwright; tests are skipped where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium: install Debian's package chromium (`make install-browser`)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # As root, in a container: no sandbox of its own, and no /dev/shm that may be tiny.
        opened = driver.chromium.launch(
            executable_path=found,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
            timeout=120_000,  # ms, as below
        )
        yield opened
        opened.close()


@dataclass
class Opened:
    """A page in a browser, and what went wrong in it."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def open_page(browser):
    """A function that opens a file in the browser: ``open_page(path, width=1280, height=900, dark=False)``.

    What it returns counts console errors and warnings, uncaught exceptions, and requests for anything but the
    file itself; the test ends with an error if there were any.
    """
    contexts, opened = [], []

    def open_one(path, *, width=1280, height=900, dark=False):
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(120_000)  # ms: a busy machine takes its time
        contexts.append(context)
        shown = Opened(context.new_page())
        url = Path(path).resolve().as_uri()
        shown.page.on("console", lambda m: m.type in {"error", "warning"} and shown.errors.append(m.text))
        shown.page.on("pageerror", lambda error: shown.errors.append(str(error)))

        def note(request):
            if request.url.split("#")[0] != url and not request.url.startswith(("data:", "blob:")):
                shown.requests.append(request.url)

        shown.page.on("request", note)
        shown.page.goto(url)
        opened.append(shown)
        return shown

    yield open_one
    for context in contexts:
        context.close()
    assert [one.errors for one in opened if one.errors] == []
    assert [one.requests for one in opened if one.requests] == []


@pytest.fixture(scope="session")
def screenshots():
    """The folder under ``build/`` that screenshots are saved in, for people to look at."""
    folder = Path(__file__).resolve().parents[1] / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
