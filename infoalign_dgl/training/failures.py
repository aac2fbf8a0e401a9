"""What can go wrong within a step, told apart: numbers that are not finite, and memory that runs out."""

from __future__ import annotations

import ctypes
import gc
import json
import math
from typing import TYPE_CHECKING, Any

import torch

from infoalign_dgl._folders import replace_text
from infoalign_dgl.errors import RunError

if TYPE_CHECKING:
    from pathlib import Path

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.training.step import StepReport

_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "Cannot allocate memory",
    "bad_alloc",
    "ALLOC_FAILED",  # of cuBLAS and cuDNN
    "could not create a primitive",  # oneDNN says no more than that
    "could not create a memory",
    "could not execute a primitive",
)
_SHOWN = 3  # molecules that the message names


class NotFiniteError(Exception):
    """A step's loss or gradient is not finite.

    Attributes
    ----------
    report : StepReport
        Of the step.
    broken : list of str
        Which of them.
    """

    def __init__(self, report: StepReport, broken: list[str]) -> None:
        super().__init__(f"{' and '.join(broken)} is not finite at step {report.step}")
        self.report = report
        self.broken = broken


def check_finite(report: StepReport) -> None:
    """Check a step's losses and gradients.

    Raises
    ------
    NotFiniteError
        Naming the feature spaces whose loss is not finite; where all losses are, those whose decoder has a
        gradient that is not.
    """
    total, kl, *losses = report.losses.tolist()
    broken = [
        f"the loss of feature space '{name}'"
        for name, loss in zip(report.targets, losses, strict=True)
        if not math.isfinite(loss)
    ]
    if not math.isfinite(kl):
        broken.append("the KL term")
    if not broken and not math.isfinite(total):
        broken.append("the sum of all losses")
    if not broken:
        places = ["the encoder", *(f"the decoder of feature space '{name}'" for name in report.targets)]
        norms = zip(places, report.gradients.tolist(), strict=True)
        broken = [f"the gradient of {place}" for place, norm in norms if not math.isfinite(norm)]
    if broken:
        raise NotFiniteError(report, broken)


def describe_failure(error: NotFiniteError, folder: Path, graph: ContextGraph) -> str:
    """Write ``failed-step-N.json`` into the run folder, and return a clause that says what failed.

    The file has the step's losses, the norms of its gradients (as text where they are not finite), and every
    molecule of its batch; of several processes' shares of it, those whose losses are not finite.
    """
    report = error.report
    molecules = report.suspects()
    rows = graph.nodes["molecule"].iloc[molecules]
    names = ["total", "kl", *report.targets]
    stored: dict[str, Any] = {
        "step": report.step,
        "broken": error.broken,
        "lr": report.lr,
        "losses": dict(zip(names, map(_number, report.losses.tolist()), strict=True)),
        "gradient_norms": dict(
            zip(["encoder", *report.targets], map(_number, report.gradients.tolist()), strict=True)
        ),
        "molecules": [
            {"id": int(node), "inchikey": key, "smiles": smiles}
            for node, key, smiles in zip(molecules, rows["inchikey"], rows["smiles"], strict=True)
        ],
    }
    path = folder / f"failed-step-{report.step}.json"
    replace_text(path, json.dumps(stored, indent=1, default=str) + "\n")
    shown = ", ".join(str(key) for key in rows["inchikey"][:_SHOWN])
    more = ", ..." if len(rows) > _SHOWN else ""
    return f"{error}, on {len(rows):,} molecules ({shown}{more}; all are in '{path}')"


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, on a CPU or on a GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)


def release_memory(device: torch.device) -> None:
    """Give memory that was freed back to the system, so that it can be had again in other sizes."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc, which keeps what is freed otherwise
    if trim is not None:
        trim(0)


def smaller_micro_batch(molecules: int, step: int, error: str) -> int:
    """Return half of the molecules that went through the model at once when memory ran out.

    Parameters
    ----------
    molecules : int
        How many they were.
    step : int
        Steps done before the one that failed.
    error : str
        What failed.

    Raises
    ------
    RunError
        If there are not enough left for two parts, since BatchNorm needs two molecules.
    """
    if molecules < 4:
        raise RunError(
            f"memory runs out at step {step + 1} even with {molecules} molecules at a time "
            f"({error.strip().splitlines()[0] if error.strip() else 'the system gave none'}): pass a smaller "
            "--hidden or --layers, or take a machine with more memory"
        )
    return molecules // 2
