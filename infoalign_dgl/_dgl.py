"""The one place that imports ``dgl``, with what its stalled releases need beside a current torch.

DGL 1.1.3 imports beside torch 2.13 once ``packaging`` is installed. DGL 2.1.0 imports ``dgl.graphbolt`` at
start, which needs ``torchdata.datapipes`` (gone from torchdata) and a native library built for torch 2.2 or
older. This package uses neither, so an empty module stands in for ``dgl.graphbolt`` where its library for the
installed torch is missing. Heterographs, batching, saving, loading and dgllife's layers work with both.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import io
import os
import sys
import types
import warnings
from pathlib import Path


def _graphbolt_library_exists() -> bool:
    """Whether the installed DGL ships a GraphBolt library for the installed torch."""
    torch_version = importlib.metadata.version("torch").split("+", maxsplit=1)[0]
    spec = importlib.util.find_spec("dgl")
    if spec is None or spec.origin is None:
        return False
    return any(Path(spec.origin).parent.glob(f"graphbolt/libgraphbolt_pytorch_{torch_version}.*"))


def _needs_graphbolt() -> bool:
    """Whether the installed DGL imports GraphBolt at start (2.x does)."""
    spec = importlib.util.find_spec("dgl")
    return spec is not None and spec.origin is not None and (Path(spec.origin).parent / "graphbolt").is_dir()


os.environ.setdefault("DGLBACKEND", "pytorch")  # otherwise DGL writes a settings file into the home folder
if "dgl" not in sys.modules and _needs_graphbolt() and not _graphbolt_library_exists():
    sys.modules["dgl.graphbolt"] = types.ModuleType("dgl.graphbolt")

with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
    warnings.simplefilter("ignore")
    import dgl

__all__ = ["dgl"]
