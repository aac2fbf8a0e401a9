"""The ``infoalign-dgl`` command: it finds the subcommand asked for and imports only that one."""

from __future__ import annotations

import difflib
import importlib
import sys
from typing import TYPE_CHECKING, Any

import click

from infoalign_dgl import __version__
from infoalign_dgl.errors import InfoAlignError

if TYPE_CHECKING:
    from types import TracebackType

# One file per command; the help line stands here so that `--help` needs to import none of them.
COMMANDS = {
    "build-graph": "Build a context graph from tables.",
    "check": "Say all that is wrong with a spec and its tables, without building.",
    "demo": "Simulate data, build, pretrain, embed and compare: a tour in minutes.",
    "doctor": "Say which versions, backends and devices work, and why not.",
    "embed": "Turn molecules into vectors with a pretrained run.",
    "evaluate": "Predict properties from a run's embedding, beside baselines.",
    "explain": "Say what shaped a molecule's embedding, and what cells are predicted to do.",
    "fetch": "Download public data sets and the authors' weights: checked, resumable, never twice.",
    "finetune": "Train predictors of a task set on a pretrained run.",
    "import-reference": "Make a run of weights that the published implementation trained.",
    "init-spec": "Look at tables and write a spec with what is recognized, and why.",
    "inspect": "Say what is in a context graph and what training will see of it.",
    "predict": "Predict molecules with what finetune saved: row-aligned, with the seeds' spread.",
    "pretrain": "Pretrain the encoder on a context graph.",
    "report": "Write a run as one page: losses, latent map, evaluations.",
    "retrieve": "Match molecules with the morphology or expression that they cause.",
    "sweep": "Pretrain and evaluate many settings: ablations and hyperparameters.",
    "update-graph": "Build a context graph again from more tables, computing only what changed.",
}


_debug = click.Option(
    ["--debug"],
    is_flag=True,
    expose_value=False,
    callback=lambda _context, _option, on: setattr(
        sys, "excepthook", sys.__excepthook__ if on else _one_sentence
    ),
    help="Show the full traceback of an error.",
)


class _LazyCommands(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(
            f"infoalign_dgl.cli.{cmd_name.replace('-', '_')}"
        ).command
        if _debug not in command.params:
            command.params.append(_debug)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if near:
                error.message += f" Did you mean '{near[0]}'?"
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=_LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="infoalign-dgl")
def cli() -> None:
    """Molecular representations from how cells respond to molecules."""


def _one_sentence(kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    text = str(error) or kind.__name__
    if not isinstance(error, InfoAlignError | OSError):
        text = f"unexpected {kind.__name__}: {text}; add --debug to see where, and report it"
    click.echo(f"Error: {text}", err=True)


def main(args: list[str] | None = None) -> Any:
    """Run the command line; exit code 2 for wrong use, 1 for a failure, 0 otherwise."""
    return cli.main(args=args, prog_name="infoalign-dgl")
