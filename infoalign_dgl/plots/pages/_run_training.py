"""How training went: losses, what they are on molecules held out, and throughput."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl._durations import format_seconds
from infoalign_dgl.plots._metrics import LOSS, TARGETS, parts_of, spaces_of, validated
from infoalign_dgl.plots.losses import draw_losses
from infoalign_dgl.plots.pages._parts import Chart, Grid
from infoalign_dgl.plots.pages._run_facts import mean_differences
from infoalign_dgl.plots.pages.shell import inline_figure
from infoalign_dgl.plots.throughput import draw_throughput
from infoalign_dgl.plots.training import draw_kl, draw_learning_rate, draw_validation

if TYPE_CHECKING:
    from pathlib import Path

    from infoalign_dgl.training.run_folder import RunConfig

_WINDOW = 20  # steps that a start and an end are means of


@dataclass(frozen=True)
class TrainingSections:
    """What the page shows of training; all empty where a run has no metrics.

    Attributes
    ----------
    losses, validation, throughput : list of Chart
    loss_table, throughput_table : Grid or None
    validation_tables : list of Grid
        Of the best and the last validation.
    history : Grid or None
        Of all validations.
    """

    losses: list[Chart] = field(default_factory=list)
    validation: list[Chart] = field(default_factory=list)
    throughput: list[Chart] = field(default_factory=list)
    loss_table: Grid | None = None
    throughput_table: Grid | None = None
    validation_tables: list[Grid] = field(default_factory=list)
    history: Grid | None = None


def describe_training(run: Path, config: RunConfig, lines: list[dict[str, Any]]) -> TrainingSections:
    """Draw and tabulate a run's metrics.

    Parameters
    ----------
    run : Path
    config : RunConfig
        Of the run.
    lines : list of dict
        Its metrics.
    """
    if not lines:
        return TrainingSections()
    count = len(lines)
    losses = [
        Chart(
            "Losses",
            inline_figure(
                draw_losses(run), "Training loss of each feature space against the step", points=count
            ),
            "Each line is a mean over 20 steps that visited the space, less where it began: spaces differ in "
            "what their column means cost, and the legend has where they began.",
        ),
        Chart(
            "Divergence",
            inline_figure(draw_kl(run), "Divergence from the prior against the step", points=count),
            f"Before it is multiplied by beta, {_beta(config)}.",
        ),
        Chart(
            "Learning rate",
            inline_figure(draw_learning_rate(run), "Learning rate against the step", points=count),
        ),
    ]
    throughput = [
        Chart(
            "Throughput",
            inline_figure(draw_throughput(run), "Molecules per second against the step"),
            "Of the training steps alone: validations and saving are not counted.",
        )
    ]
    found = validated(lines)
    validation = []
    if found:
        image = inline_figure(draw_validation(run), "Validation against column means, by step")
        caption = "Below 0 the run predicts molecules it has not seen better than the columns' means do."
        validation.append(Chart("Validation", image, caption))
    return TrainingSections(
        losses,
        validation,
        throughput,
        _loss_table(config, lines),
        _throughput_table(lines),
        _validation_tables(config, lines),
        _history(lines),
    )


def _beta(config: RunConfig) -> str:
    return "unknown" if config.pretrain is None else f"{config.pretrain.beta:g}"


def _loss_table(config: RunConfig, lines: list[dict[str, Any]]) -> Grid:
    rows = []
    for space in spaces_of(lines):
        visited = [line for line in lines if line[TARGETS + space]]
        values = [line[LOSS + space] for line in visited]
        start, end = (np.mean(part) if values else np.nan for part in (values[:_WINDOW], values[-_WINDOW:]))
        shown = [f"{start:.4f}", f"{end:.4f}", f"{end - start:+.4f}"] if values else ["", "", ""]
        rows.append(
            [
                space,
                config.model.modality[space].replace("_", " "),
                f"{config.model.spaces[space]:,}",
                f"{sum(line[TARGETS + space] for line in visited):,}",
                *shown,
            ]
        )
    kl = [line["kl"] for line in lines]
    start, end = np.mean(kl[:_WINDOW]), np.mean(kl[-_WINDOW:])
    rows.append(
        [
            "divergence from the prior, nats per molecule",
            "latent",
            "",
            "",
            f"{start:,.1f}",
            f"{end:,.1f}",
            f"{end - start:+,.1f}",
        ]
    )
    return Grid(
        f"Training loss, nats per column: means of the first and of the last {_WINDOW} steps that visited "
        "the space",
        ["feature space", "of", "columns", "targets", "start", "end", "change"],
        rows,
        (2, 3, 4, 5, 6),
    )


def _throughput_table(lines: list[dict[str, Any]]) -> Grid:
    molecules = np.array([line["molecules"] for line in lines], dtype=float)
    # A line's rate is that of all steps that were read with it, so that each of them took its share.
    seconds = float((molecules / np.array([line["molecules_per_second"] for line in lines])).sum())
    starts = parts_of(lines)
    later = ", ".join(f"{step:,}" for step in starts[1:])
    memory = max(line["peak_memory_bytes"] for line in lines)
    rows = [
        ["steps", f"{len(lines):,}"],
        ["molecules drawn", f"{int(molecules.sum()):,}"],
        ["time in training steps (h:mm:ss)", format_seconds(seconds)],
        ["molecules per second, over all steps", f"{molecules.sum() / seconds:,.1f}"],
        [
            "parts that can be told apart",
            f"{len(starts):,}" + (f" (others went on at step {later})" if later else ""),
        ],
        ["largest memory of a process", f"{memory / 2**30:.2f} GiB"],
    ]
    return Grid("Throughput", ["", ""], rows, (1,))


def _validation_tables(config: RunConfig, lines: list[dict[str, Any]]) -> list[Grid]:
    found = dict(validated(lines))
    if not found:
        return []
    means = dict(mean_differences(lines))
    best, last = min(means, key=lambda step: means[step]), max(found)
    tables = []
    for step in dict.fromkeys((best, last)):
        what = " and ".join(
            [*(["the best"] if step == best else []), *(["the last"] if step == last else [])]
        )
        rows = [
            [
                space,
                config.model.modality[space].replace("_", " "),
                f"{values['loss']:.4f}",
                f"{values['mean_loss']:.4f}",
                f"{values['difference']:+.4f}",
                f"{values['targets']:,}",
            ]
            for space, values in found[step].items()
        ]
        targets = sum(int(values["targets"]) for values in found[step].values())
        rows.append(["all targets", "", "", "", f"{means[step]:+.6f}", f"{targets:,}"])
        tables.append(
            Grid(
                f"Step {step:,}, {what} of {len(found):,} validations: nats per column",
                ["feature space", "of", "loss", "column means", "difference", "molecules with a target"],
                rows,
                (2, 3, 4, 5),
            )
        )
    return tables


def _history(lines: list[dict[str, Any]]) -> Grid | None:
    found = validated(lines)
    if len(found) < 2:
        return None
    spaces = list(dict.fromkeys(space for _, by_space in found for space in by_space))
    means = dict(mean_differences(lines))
    rows = []
    for step, by_space in found:
        each = [f"{by_space[name]['difference']:+.4f}" if name in by_space else None for name in spaces]
        rows.append([f"{step:,}", f"{means[step]:+.6f}", *each])
    return Grid(
        f"All {len(found):,} validations: loss less that of column means, nats per column",
        ["step", "all targets", *spaces],
        rows,
        tuple(range(2 + len(spaces))),
    )
