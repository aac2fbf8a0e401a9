"""``infoalign-dgl pretrain``."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infoalign_dgl.cli._output import json_option, print_json, print_table
from infoalign_dgl.errors import InfoAlignError, RunError
from infoalign_dgl.models.config import COMPATS
from infoalign_dgl.training.config import CONTROLS, LOSSES, PRECISIONS, TRANSITIONS, PretrainConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from infoalign_dgl.training import PretrainResult

_ENCODERS = ("gin-virtual", "gin")


class _Registrable(click.Choice):
    """One of the package's names, which help and completion show, or one that somebody registered.

    The settings refuse other names: to look for them here would import extensions on every call.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)


def _setting(name: str, kind: Any, text: str) -> Callable[[Any], Any]:
    """Make an option that sets the configuration's field of the same name, with its default."""
    default = getattr(PretrainConfig, name)
    return click.option(
        f"--{name.replace('_', '-')}", type=kind, default=default, show_default=True, help=text
    )


@click.command("pretrain")
@click.argument("graph", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Run folder.")
@_setting("epochs", click.IntRange(min=1), "Passes over the molecules.")
@_setting("batch_size", click.IntRange(min=2), "Molecules per step.")
@_setting("walk_length", click.IntRange(min=0), "Steps L of a walk.")
@_setting("num_walks", click.IntRange(min=1), "Walks from each molecule of a batch.")
@_setting("beta", float, "Weight of the KL term.")
@_setting("lr", float, "Learning rate of Adam.")
@_setting("weight_decay", float, "Weight decay of Adam.")
@_setting("encoder", _Registrable(_ENCODERS), "The molecule's encoder; or a registered one.")
@_setting("hidden", click.IntRange(min=1), "Width of the encoder and of the latent.")
@_setting("layers", click.IntRange(min=2), "Message passing layers.")
@_setting("dropout", click.FloatRange(0, 1, max_open=True), "Dropout of encoder and decoders.")
@_setting("compat", click.Choice(COMPATS), "Bounded embeddings and the start of the published model.")
@_setting("loss", _Registrable(LOSSES), "How the feature spaces' losses are weighed; or a registered one.")
@_setting("transition", click.Choice(TRANSITIONS), "Each arc alike, or in proportion to its weight.")
@_setting("sampling", str, "'uniform', or 'measured=S': a share S of each batch has a profile in reach.")
@_setting("precision", click.Choice(PRECISIONS), "Of the matrix products.")
@_setting("device", str, "'auto', 'cpu', 'cuda', ...")
@_setting("seed", click.IntRange(min=0), "Of everything random.")
@click.option("--max-steps", type=click.IntRange(min=0), help="Stop after this many steps.")
@click.option(
    "--max-minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="Save and stop after this long; --resume goes on for as long again.",
)
@click.option(
    "--stop-after",
    type=click.IntRange(min=1),
    help="Save and stop after this step, with the learning rates of the whole run; --resume goes on.",
)
@_setting("control", click.Choice(CONTROLS), "Permute responses across molecules, or fingerprints alone.")
@_setting("checkpoint_every", click.IntRange(min=1), "Steps between validations and checkpoints.")
@_setting("keep", click.IntRange(min=1), "Newest checkpoints that stay; the best one does anyway.")
@click.option(
    "--micro-batch",
    type=click.IntRange(min=2),
    help="Most molecules in memory at once: gradients add up to those of the batch, BatchNorm sees these.",
)
@click.option(
    "--nproc",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes on this machine that share each step's batch.",
)
@click.option(
    "--max-restarts",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="How often to go on by itself after one of --nproc processes was lost.",
)
@click.option(
    "--sync-batchnorm",
    is_flag=True,
    help="Let BatchNorm see what all processes have in the model, not each its share.",
)
@_setting("holdout", click.FloatRange(0, 1, max_open=True), "Share of molecules kept for validation.")
@click.option(
    "--resume", is_flag=True, help="Go on with the run in the folder; options left out are as they were."
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    graph: Path,
    output: Path,
    resume: bool,
    as_json: bool,
    nproc: int,
    max_restarts: int,
    **settings: Any,
) -> None:
    """Pretrain the encoder on a context graph.

    GRAPH is a folder written by build-graph. The run folder gets the configuration, metrics.jsonl,
    TensorBoard events and checkpoints. SIGTERM, Ctrl-C and --max-minutes save before they stop a run, and
    --resume goes on with it as if it had not been stopped.

    With --nproc, or under torchrun on several machines (torchrun ... -m infoalign_dgl.cli pretrain ...), the
    processes share each step's batch; on GPUs each has one of its own.
    """
    from infoalign_dgl.training.run_folder import CONFIG, read_config

    given = {
        name: value
        for name, value in settings.items()
        if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    }
    earlier = read_config(output).pretrain if resume and (output / CONFIG).is_file() else None
    try:
        config = PretrainConfig(**settings) if earlier is None else dataclasses.replace(earlier, **given)
    except RunError as error:  # an option's value: wrong use
        raise click.UsageError(str(error)) from error
    if nproc > 1 or max_restarts > 0:
        _start_processes(ctx, nproc, max_restarts)
    from rich.console import Console

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.training import pretrain
    from infoalign_dgl.training.distributed import ElsewhereError, World

    console = Console(stderr=as_json)  # with --json, standard output is the JSON and nothing else
    world = World.of_environment()
    try:
        context = ContextGraph.load(graph)
    except InfoAlignError:
        if world.local_rank > 0:  # the first process of the machine says the same
            sys.exit(1)
        raise
    try:
        result = pretrain(context, output, config, resume=resume, console=console)
    except ElsewhereError:
        sys.exit(1)
    if world.rank > 0:
        return
    if as_json:
        print_json(dataclasses.asdict(result))
    else:
        print_result(result)
        click.echo(f"Wrote {output}. Embed molecules with: infoalign-dgl embed {output} TABLE -o OUT.parquet")


def _start_processes(ctx: click.Context, nproc: int, max_restarts: int) -> None:
    """Run the command without these two options in several processes, and exit as they do."""
    if "RANK" in os.environ:
        raise click.UsageError("torchrun starts the processes here: leave --nproc out")
    from infoalign_dgl.training.launch import SIGNALLED, launch

    words = []
    for parameter in ctx.command.params:
        name = str(parameter.name)
        if ctx.get_parameter_source(name) is click.core.ParameterSource.DEFAULT or name in (
            "nproc",
            "max_restarts",
        ):
            continue
        given = [] if isinstance(parameter, click.Option) and parameter.is_flag else [str(ctx.params[name])]
        words += given if isinstance(parameter, click.Argument) else [parameter.opts[0], *given]
    code = launch(["-m", "infoalign_dgl.cli", "pretrain", *words], nproc, max_restarts=max_restarts)
    if code > SIGNALLED:
        click.echo(f"Error: a process was ended by {signal.Signals(code - SIGNALLED).name}", err=True)
    sys.exit(code)


def print_result(result: PretrainResult) -> None:
    """Print the loss of each feature space on held-out molecules beside that of its column means."""
    print_table(
        "Molecules held out: loss per column (nats)",
        ["space", "molecules", "model", "column means", "model - means"],
        [
            (name, found.targets, f"{found.loss:.4f}", f"{found.mean_loss:.4f}", f"{found.difference:+.4f}")
            for name, found in result.validation.items()
        ],
    )
