"""``infoalign-dgl demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infoalign_dgl.cli._output import json_option, print_json, print_table

if TYPE_CHECKING:
    from infoalign_dgl.demo import DemoResult


@click.command("demo")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder to fill.",
)
@click.option(
    "--molecules", type=click.IntRange(min=500), default=3000, show_default=True, help="To simulate."
)
@click.option("--overwrite", is_flag=True, help="Replace the parts of an earlier demo in the folder.")
@json_option
def command(output: Path, molecules: int, overwrite: bool, as_json: bool) -> None:
    """Simulate data, build, pretrain, embed and compare: a tour in minutes.

    The data are simulated, and everything made from them says so. What the table shows is whether pretraining
    on cell data helps to tell a mechanism from a few labels, and whether two controls without cell data do.
    """
    from infoalign_dgl.demo import DemoConfig, run_demo
    from infoalign_dgl.errors import InfoAlignError

    if output.exists() and any(output.iterdir()) and not overwrite:
        raise InfoAlignError(f"'{output}' is not empty: choose another folder, or pass --overwrite")
    result = run_demo(
        output, DemoConfig(num_molecules=molecules), say=lambda line: click.echo(line, err=True)
    )
    pictures = _draw(result, output / "pictures")
    if as_json:
        print_json(_as_json(result, pictures))
    else:
        _print(result, pictures)


def _print(result: DemoResult, pictures: list[Path]) -> None:
    from infoalign_dgl.cli.pretrain import print_result

    print_result(result.pretraining)
    table = result.table
    print_table(
        f"SIMULATED data: mean ROC-AUC of telling {len(table.mechanisms)} mechanisms from {table.num_labels} "
        f"labels among {len(result.vectors):,} molecules\nthat no graph contained; {len(table.seeds)} "
        "splits, 95 % intervals over splits, differences paired by split",
        ["representation", "ROC-AUC", "+-", "pretrained is ahead by", "+-"],
        [
            (
                row.method,
                f"{row.auc:.3f}",
                f"{row.half_width:.3f}",
                *_difference(row.difference, row.difference_half_width),
            )
            for row in sorted(table.rows(), key=lambda row: -row.auc)
        ],
    )
    click.echo(f"Took {sum(result.seconds.values()):.0f} s. Pictures:")
    for path in pictures:
        click.echo(f"  {path}")


def _difference(mean: float | None, half_width: float | None) -> tuple[str, str]:
    return ("", "") if mean is None or half_width is None else (f"{mean:+.3f}", f"{half_width:.3f}")


def _as_json(result: DemoResult, pictures: list[Path]) -> dict[str, object]:
    return {
        "simulated": True,
        "methods": [vars(row) for row in result.table.rows()],
        "mechanisms": result.table.mechanisms,
        "labels": result.table.num_labels,
        "splits": len(result.table.seeds),
        "runs": result.runs,
        "pictures": pictures,
        "seconds": result.seconds,
    }


def _draw(result: DemoResult, folder: Path) -> list[Path]:
    """Save the tour's four pictures; without matplotlib say what is missing and save none."""
    try:
        from infoalign_dgl import plots
    except ModuleNotFoundError:
        click.echo("No pictures: pip install 'infoalign-dgl[plots]'", err=True)
        return []
    from infoalign_dgl.demo import PRETRAINED

    folder.mkdir(parents=True, exist_ok=True)
    rows = result.table.rows()
    first_mechanism = [
        next((name for name, has in zip(result.mechanisms, row, strict=True) if has), "")
        for row in result.labels
    ]
    drawn = {
        "metagraph.png": plots.draw_metagraph(result.graph),
        "losses.png": plots.draw_losses(result.runs[PRETRAINED]),
        "latent.png": plots.draw_latent_map(
            result.vectors, first_mechanism, title="Latent of molecules that no graph contained (simulated)"
        ),
        "comparison.png": plots.draw_comparison(
            {row.method: row.auc for row in rows},
            {row.method: row.half_width for row in rows},
            label="mean ROC-AUC from few labels (simulated)",
        ),
    }
    for name, axes in drawn.items():
        axes.figure.savefig(folder / name, dpi=130)
    return [folder / name for name in drawn]
