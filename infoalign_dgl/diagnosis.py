"""What works on this machine: versions, walk backends, devices. Each check is run, not guessed."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

REQUIRED = ("numpy", "pandas", "torch", "dgl", "dgllife", "rdkit", "numba", "pyarrow", "scikit-learn")
REQUIRED_TOO = ("safetensors", "pydantic", "click", "rich")
OPTIONAL = ("matplotlib", "tensorboard")


@dataclass(frozen=True)
class Check:
    """One thing that was tried.

    Attributes
    ----------
    name : str
        What was tried.
    works : bool
        Whether it did.
    details : str
        The version, or why it does not work and what to do.
    required : bool
        Whether the toolkit cannot do without it.
    """

    name: str
    works: bool
    details: str
    required: bool = False


def diagnose() -> list[Check]:
    """Try every part that can be missing and say what came of it.

    Returns
    -------
    list of Check
        In the order in which a reader would ask.
    """
    checks = [
        Check("python", sys.version_info[:2] == (3, 11), f"{platform.python_version()} (3.11 is tried)")
    ]
    checks += [_package(name, required=True) for name in (*REQUIRED, *REQUIRED_TOO)]
    checks += [_package(name, required=False) for name in OPTIONAL]
    checks += [_dgl(), _walk_backend("native"), _walk_backend("numba"), _walk_backend("reference")]
    checks += [_native_cuda(), _torch_cuda(), Check("cpu", works=True, details=f"{os.cpu_count()} cores")]
    return checks


def _package(name: str, *, required: bool) -> Check:
    try:
        return Check(name, works=True, details=importlib.metadata.version(name), required=required)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, works=False, details=f"not installed: pip install {name}", required=required)


def _dgl() -> Check:
    """Import DGL in a process of its own: a broken one may abort the interpreter."""
    program = (
        "from infoalign_dgl._dgl import dgl; import torch; dgl.graph((torch.tensor([0]), torch.tensor([1])))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    why = run.stderr.strip().splitlines()[-1] if run.stderr.strip() else f"exit code {run.returncode}"
    details = (
        "imports, builds graphs" if run.returncode == 0 else f"{why}: pip install 'dgl==1.1.3' packaging"
    )
    return Check("dgl beside this torch", run.returncode == 0, details, required=True)


def _walk_backend(name: Literal["native", "numba", "reference"]) -> Check:
    from infoalign_dgl.errors import WalkError
    from infoalign_dgl.walks import WalkIndex, random_walks

    label = f"walks: {name}"
    try:
        walks = random_walks(WalkIndex.from_edges([0, 1], [1, 0], [0.5, 0.5], 2), [0], 2, backend=name)
    except (ImportError, OSError, WalkError) as error:
        return Check(label, works=False, details=str(error), required=name == "reference")
    right = walks.nodes.tolist() == [[0, 1, 0]] and walks.alpha.tolist() == [[1.0, 0.5, 0.25]]
    return Check(
        label, right, "walks a two-node graph" if right else "gives wrong walks", required=name == "reference"
    )


def _native_cuda() -> Check:
    try:
        native = importlib.import_module("infoalign_dgl._native")
    except ImportError:
        return Check("walks: native, CUDA", works=False, details="the native extension was not built")
    works, details = native.cuda_status()
    return Check("walks: native, CUDA", works, details)


def _torch_cuda() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("torch: CUDA", works=True, details=torch.cuda.get_device_name())
    build = torch.version.cuda
    return Check(
        "torch: CUDA",
        works=False,
        details="a CPU build of torch" if build is None else "no usable GPU or driver",
    )
