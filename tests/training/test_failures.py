"""Numbers that are not finite, and memory that runs out, in the middle of a run."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from infoalign_dgl.errors import RunError
from infoalign_dgl.models import InfoAlign
from infoalign_dgl.representation import load
from infoalign_dgl.training import loop, pretrain, step
from infoalign_dgl.training.checkpoint import checkpoint_folder, saved_steps
from infoalign_dgl.training.failures import is_out_of_memory, smaller_micro_batch
from infoalign_dgl.training.run_folder import read_config
from infoalign_dgl.training.setup import load_data


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def weights(run, number):
    return load_file(checkpoint_folder(run, number) / "model.safetensors")


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def poison(monkeypatch, at, change):
    """Let ``change`` loose on the losses of a step (1 is the first), after they were computed."""
    part_loss = step.part_loss
    calls = []

    def poisoned(trainer, part):
        calls.append(part)
        terms = part_loss(trainer, part)
        return change(terms) if len(calls) == at else terms

    monkeypatch.setattr(step, "part_loss", poisoned)


def test_a_loss_that_is_not_finite(graph, make_config, tmp_path, quiet, monkeypatch):
    """It names the space, step and molecules; what is saved is bit for bit a run that ended a step before."""
    config = make_config(epochs=9, max_steps=20)
    stops = make_config(epochs=9, max_steps=20, max_minutes=1e-9)
    pretrain(graph, tmp_path / "good", stops, console=quiet)
    pretrain(graph, tmp_path / "good", stops, resume=True, console=quiet)
    assert saved_steps(tmp_path / "good") == [1, 2]

    def nan_in_dyes(terms):
        spaces = {**terms.spaces, "dyes": terms.spaces["dyes"] * float("nan")}
        return type(terms)(terms.total * float("nan"), terms.kl, spaces)

    poison(monkeypatch, 3, nan_in_dyes)
    run = tmp_path / "run"
    with pytest.raises(RunError) as caught:
        pretrain(graph, run, config, console=quiet)
    message = str(caught.value)
    stored = json.loads((run / "failed-step-3.json").read_text())
    keys = [molecule["inchikey"] for molecule in stored["molecules"]]
    shown = ", ".join(keys[:3])
    assert message.startswith(
        f"the loss of feature space 'dyes' is not finite at step 3, on 16 molecules ({shown}, ...;"
    )
    assert "failed-step-3.json" in message
    assert "the weights of step 2 are saved" in message
    data = load_data(graph, config)
    assert [molecule["id"] for molecule in stored["molecules"]] == data.sampler.epoch(0).batches[2].tolist()
    assert keys == graph.nodes["molecule"]["inchikey"].iloc[data.sampler.epoch(0).batches[2]].tolist()
    assert stored["losses"]["dyes"] == stored["losses"]["total"] == "nan"
    assert isinstance(stored["losses"]["cells"], float)
    assert [line["step"] for line in lines(run)] == [1, 2]
    assert saved_steps(run) == [2]
    assert same(weights(run, 2), weights(tmp_path / "good", 2))
    assert np.isfinite(load(run).embed(["CCO"])).all()


def test_a_gradient_that_is_not_finite(graph, make_config, tmp_path, quiet, monkeypatch):
    """All losses are finite; the decoder whose gradient is not is named."""

    class Overflows(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * float("inf")

    decode = InfoAlign.decode

    def wrapped(model, space, z, rows=None):
        logits = decode(model, space, z.detach() if space == "l1000" else z, rows)
        return Overflows.apply(logits) if space == "l1000" else logits

    monkeypatch.setattr(InfoAlign, "decode", wrapped)
    with pytest.raises(
        RunError, match=r"^the gradient of the decoder of feature space 'l1000' is not finite at"
    ):
        pretrain(graph, tmp_path / "run", make_config(), console=quiet)
    failed = json.loads(next((tmp_path / "run").glob("failed-step-*.json")).read_text())
    assert all(isinstance(value, float) for value in failed["losses"].values())
    assert failed["gradient_norms"]["l1000"] in ("inf", "nan")


def test_weights_that_are_ruined_are_not_saved(graph, make_config, tmp_path, quiet, monkeypatch):
    take_step = loop.take_step

    def ruined(trainer, number, batch):
        if number == 2:
            with torch.no_grad():
                trainer.model.decoders["l1000"].output.bias.fill_(float("nan"))
        return take_step(trainer, number, batch)

    monkeypatch.setattr(loop, "take_step", ruined)
    with pytest.raises(
        RunError, match=r"'l1000' is not finite at step 3.*: no weights were saved yet; start"
    ):
        pretrain(graph, tmp_path / "run", make_config(epochs=9), console=quiet)
    assert saved_steps(tmp_path / "run") == []


class Memory:
    """Lets a model encode at most so many molecules at a time, in training."""

    def __init__(self, monkeypatch, most, error):
        self.most, self.seen = most, []
        encode = InfoAlign.encode

        def within(model, batch, **kwargs):
            latent = encode(model, batch, **kwargs)  # its BatchNorms have moved when memory runs out
            self.seen.append(batch.num_molecules)
            if model.training and batch.num_molecules > self.most:
                raise error
            return latent

        monkeypatch.setattr(InfoAlign, "encode", within)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you ..."
        ),
    ],
)
def test_out_of_memory_halves_the_micro_batch(graph, make_config, tmp_path, quiet, monkeypatch, error):
    """A run that found its micro-batch is the run that was given it; it says so, records it and keeps it."""
    config, longer = make_config(max_steps=3), make_config(max_steps=5)
    pretrain(graph, tmp_path / "given", make_config(max_steps=3, micro_batch=4), console=quiet)
    Memory(monkeypatch, 5, error)
    text = io.StringIO()
    run = tmp_path / "found"
    pretrain(graph, run, config, console=Console(file=text, width=200))
    said = [line for line in text.getvalue().splitlines() if "out of memory" in line]
    assert [line.partition(",")[0] for line in said] == [
        "out of memory at step 1 with 16 molecules at a time: going on with micro-batches of 8",
        "out of memory at step 1 with 8 molecules at a time: going on with micro-batches of 4",
    ]
    assert "config.json" in said[0]
    assert read_config(run).pretrain.micro_batch == 4
    state = torch.load(run / "checkpoints/step-3/training.pt", weights_only=True)
    assert state["micro_batch"] == 4
    assert [line["micro_batches"] for line in lines(run)] == [4, 4, 4]
    assert same(weights(run, 3), weights(tmp_path / "given", 3))
    again = io.StringIO()
    pretrain(graph, run, longer, resume=True, console=Console(file=again, width=200))
    assert "out of memory" not in again.getvalue()
    assert [-(-line["molecules"] // 4) for line in lines(run)] == [4, 4, 4, 5, 4]
    assert [line["micro_batches"] for line in lines(run)] == [4, 4, 4, 5, 4]


def test_giving_up(graph, make_config, tmp_path, quiet, monkeypatch):
    memory = Memory(monkeypatch, 1, MemoryError())
    with pytest.raises(
        RunError, match=r"even with 2 molecules at a time \(the system gave none\): pass a smaller"
    ):
        pretrain(graph, tmp_path / "run", make_config(), console=quiet)
    assert memory.seen == [16, 8, 4, 2]


def test_memory_for_a_batch_or_the_optimizer(graph, make_config, tmp_path, quiet, monkeypatch):
    """Smaller micro-batches help neither."""

    def full(*_args, **_kwargs):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", full)
        with pytest.raises(
            RunError, match="memory does not hold the model, its gradients and the optimizer's"
        ):
            pretrain(graph, tmp_path / "first", make_config(), console=quiet)
    monkeypatch.setattr("infoalign_dgl.training.targets.collapse_targets", full)
    with pytest.raises(RunError, match="memory does not hold the walks and targets of 16 molecules: pass a"):
        pretrain(graph, tmp_path / "second", make_config(holdout=0.0), console=quiet)


def test_other_errors_stay_what_they_are(graph, make_config, tmp_path, quiet, monkeypatch):
    Memory(monkeypatch, 1, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        pretrain(graph, tmp_path / "run", make_config(), console=quiet)
    assert not is_out_of_memory(ValueError("out of memory"))


def test_halving():
    assert [smaller_micro_batch(size, 0, "") for size in (4, 5, 16, 3072)] == [2, 2, 8, 1536]


LIMITED = """
import importlib.util, resource, sys
from pathlib import Path
import torch
from rich.console import Console
spec = importlib.util.spec_from_file_location("tiny", sys.argv[1])
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)
from infoalign_dgl.models import InfoAlign
from infoalign_dgl.training import PretrainConfig, pretrain, start
torch.set_num_threads(1)
start.reuse_freed_memory = lambda: None  # else small blocks move into the one of 768 MiB once it is free
encode = InfoAlign.encode
def hungry(model, batch):
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:  # the first step
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 5 * 2**28,) * 2)
    torch.empty(batch.num_molecules, 2**23)  # 32 MiB a molecule: 1.5 GiB for 48, 768 MiB for 24
    return encode(model, batch)
InfoAlign.encode = hungry
config = PretrainConfig(epochs=9, max_steps=3, batch_size=48, hidden=16, layers=2, device="cpu", holdout=0.0)
pretrain(tiny.make_graph(), Path(sys.argv[2]), config, console=Console(width=200))
"""


def test_a_limit_of_the_system(tmp_path):
    """The system refuses a process what it asks for a whole batch, and not what it asks for half of one."""
    tiny = Path(__file__).with_name("conftest.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LIMITED, str(tiny), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines() if "out of memory" in line]
    assert len(said) == 1
    assert "at step 1 with 48 molecules at a time: going on with micro-batches of 24" in said[0]
    assert [line["micro_batches"] for line in lines(tmp_path / "run")] == [2, 2, 2]
    assert read_config(tmp_path / "run").pretrain.micro_batch == 24
    assert load(tmp_path / "run").checkpoint.name == "step-3"
