"""What the processes of ``test_distributed.py`` run: ``ranks.py TASK FOLDER``, started as torchrun does.

Each process leaves ``FOLDER/<task>-<rank>.pt`` with what it found, for the test to compare.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import os
import signal
import sys
import warnings
from datetime import timedelta
from pathlib import Path

if __name__ == "__main__":
    warnings.simplefilter("ignore")  # in what is imported; the test's own process sees them

import torch
from rich.console import Console

from infoalign_dgl.errors import InfoAlignError
from infoalign_dgl.models import InfoAlign
from infoalign_dgl.training import PretrainConfig, distributed, gradient_sums, loop, step
from infoalign_dgl.training.checkpoint import saved_steps
from infoalign_dgl.training.distributed import World, joined
from infoalign_dgl.training.gradient_sums import GradientSums
from infoalign_dgl.training.prefetch import prepared_batches
from infoalign_dgl.training.setup import describe_run, load_data, make_model, synchronize_batchnorm
from infoalign_dgl.training.targets import number_of_parts

SMALL = {
    "epochs": 3,
    "batch_size": 17,  # shares of 8 and 9, and of 7 and 7 in the last step of an epoch
    "hidden": 16,
    "layers": 2,
    "lr": 1e-3,
    "device": "cpu",
    "holdout": 0.1,
    "checkpoint_every": 4,
    "max_steps": 10,
}
GRADIENT_CASES = [
    {"loss": "balanced"},
    {"loss": "balanced", "micro_batch": 3},
    {"loss": "eq3", "micro_batch": 8},
    {"loss": "reference", "beta": 0.0},
    {"loss": "balanced", "encoder": "gin"},
]
SYNC_CASES = [{"loss": "reference"}, {"loss": "balanced"}, {"loss": "eq3", "encoder": "gin"}]


distributed._TIMEOUT = timedelta(seconds=100)  # so that processes that a test left waiting end
gradient_sums.BUCKET_BYTES = 2048  # so that there are many, of which some are sent when a process dies


def tiny_graph():
    spec = importlib.util.spec_from_file_location("tiny", Path(__file__).with_name("conftest.py"))
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    return tiny.make_graph()


def make_trainer(graph, world, **changes):
    """A trainer as the loop makes it."""
    config = PretrainConfig(**{**SMALL, **changes})
    data = load_data(graph, config)
    torch.manual_seed(config.seed)
    device = torch.device("cpu")
    model = make_model(describe_run(graph, config, data).model, data, device).train()
    if config.sync_batchnorm and world.size > 1:
        model = synchronize_batchnorm(model, device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
    sums = GradientSums(model.parameters()) if world.size > 1 else None
    trainer = step.Trainer(
        model, optimizer, data.builder, config, device, 10, config.micro_batch, world, sums
    )
    return trainer, data


def batches(data, world, count=1):
    return list(prepared_batches(data.sampler, data.builder, 0, count, world))


def gradients(graph, world, *, training=False, **changes):
    """Gradients, losses and buffers after one step's backward passes, without noise."""
    trainer, data = make_trainer(graph, world, dropout=0.0, **{"beta": 0.1, **changes})
    trainer.model.train(training)
    noise, torch.randn_like = torch.randn_like, torch.zeros_like
    try:
        (batch,) = batches(data, world)
        totals, _ = step._of_all_processes(world, batch)
        sizes = world.share_sizes(len(batch.whole))
        parts = number_of_parts(sizes, trainer.micro_batch)
        parts = data.builder.cut(dataclasses.replace(batch, totals=totals), parts)
        losses, _ = step.summed_gradients(trainer, 0, parts)
    finally:
        torch.randn_like = noise
    found = {name: parameter.grad for name, parameter in trainer.model.named_parameters()}
    return {"losses": losses, "gradients": found, "buffers": dict(trainer.model.named_buffers())}


def drawn(graph, world):
    """Molecules and targets of an epoch and a step more."""
    _, data = make_trainer(graph, world)
    count = data.sampler.steps_per_epoch + 1
    return [
        (batch.molecules, {name: dataclasses.astuple(rows) for name, rows in batch.targets.items()})
        for batch in batches(data, world, count)
    ]


def after_steps(graph, world):
    """Weights after three steps with dropout and noise."""
    trainer, data = make_trainer(graph, world)
    reports = [step.take_step(trainer, i, batch) for i, batch in enumerate(batches(data, world, 3))]
    return {
        "weights": {name: parameter.detach() for name, parameter in trainer.model.named_parameters()},
        "reports": [
            (report.losses, report.gradients, report.targets, len(report.molecules)) for report in reports
        ],
    }


def run(graph, folder, *, resume=False, **changes):
    """A run: how it ended, what it said, and which files in its folder this process opened to write."""
    text = io.StringIO()
    config = PretrainConfig(**{**SMALL, **changes})
    _OPENED.clear()
    try:
        result = loop.pretrain(graph, folder, config, resume=resume, console=Console(file=text, width=400))
        ended = dataclasses.asdict(result)
    except InfoAlignError as error:
        ended = {"error": f"{type(error).__name__}: {error}"}
    written = sorted({path for path in _OPENED if path.startswith(str(folder))})
    return {"ended": ended, "said": text.getvalue(), "written": written}


_OPENED: list[str] = []


def _note_writes(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        _OPENED.append(arguments[0])


def nan_in_dyes(world, graph, folder):
    """Rank 1's loss of 'dyes' is not finite in step 3."""
    part_loss, calls = step.part_loss, []

    def poisoned(trainer, part):
        terms = part_loss(trainer, part)
        calls.append(part)
        if world.rank == 1 and len(calls) == 3:
            spaces = {**terms.spaces, "dyes": terms.spaces["dyes"] * float("nan")}
            return type(terms)(terms.total * float("nan"), terms.kl, spaces)
        return terms

    step.part_loss = poisoned
    try:
        return run(graph, folder)
    finally:
        step.part_loss = part_loss


def out_of_memory(world, graph, folder, most=4):
    """Rank 1 has memory for ``most`` molecules; what it lacks it lacks at the second of two micro-batches."""
    encode, sizes = InfoAlign.encode, []

    def within(model, batch, **kwargs):
        if model.training:
            sizes.append(batch.num_molecules)
            if world.rank == 1 and batch.num_molecules > most:
                raise MemoryError
        return encode(model, batch, **kwargs)

    InfoAlign.encode = within
    try:
        return {**run(graph, folder, micro_batch=8), "sizes": sizes}
    finally:
        InfoAlign.encode = encode


def told_to_stop(world, graph, folder):
    """Rank 1 gets a SIGTERM in step 2."""
    take_step = loop.take_step

    def signalled(trainer, number, batch):
        if world.rank == 1 and number == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return take_step(trainer, number, batch)

    loop.take_step = signalled
    try:
        return run(graph, folder)
    finally:
        loop.take_step = take_step


def checks(folder):
    sys.addaudithook(_note_writes)
    graph = tiny_graph()
    with joined() as world:
        found = {
            "world": dataclasses.asdict(world),
            "gradients": [gradients(graph, world, **case) for case in GRADIENT_CASES],
            "synchronized": [
                gradients(graph, world, training=True, sync_batchnorm=True, **case) for case in SYNC_CASES
            ],
            "drawn": drawn(graph, world),
            "after_steps": after_steps(graph, world),
            "whole": run(graph, folder / "whole"),
            "too_few": run(graph, folder / "too_few", batch_size=62),
            "nan": nan_in_dyes(world, graph, folder / "nan"),
            "memory": out_of_memory(world, graph, folder / "memory"),
            "given": run(graph, folder / "given", micro_batch=4),
            "no_memory": out_of_memory(world, graph, folder / "no_memory", most=1),
            "told": told_to_stop(world, graph, folder / "told"),
            "synchronized_run": run(graph, folder / "synchronized", sync_batchnorm=True, micro_batch=5),
        }
        found["resumed"] = run(graph, folder / "told", resume=True)
    torch.save(found, folder / f"checks-{world.rank}.pt")


def lost(folder):
    """The rank that the environment names is killed in the backward pass of step 7, the first time."""
    world = World.of_environment()
    part_loss, calls = step.part_loss, []

    def killed(trainer, part):
        calls.append(part)
        if world.restarts == 0 and world.rank == int(os.environ["KILLED"]) and len(calls) == 7:
            last = trainer.model.encoder.atom_embedding.weight  # decoders have sent theirs
            last.register_hook(lambda _gradient: os.kill(os.getpid(), signal.SIGKILL))
        return part_loss(trainer, part)

    step.part_loss = killed
    ended = run(tiny_graph(), folder / "run")
    ended["saved"] = saved_steps(folder / "run")
    torch.save(ended, folder / f"lost-{world.restarts}-{world.rank}.pt")
    if "error" in ended["ended"]:
        sys.exit(1)


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"checks": checks, "lost": lost}[sys.argv[1]](Path(sys.argv[2]))
