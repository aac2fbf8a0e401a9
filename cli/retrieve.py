"""``infoalign-dgl retrieve``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infoalign_dgl.cli._output import StageProgress, json_option, print_json, print_table

if TYPE_CHECKING:
    from infoalign_dgl.evaluation import Retrieval

_SCORES = ("paper", "kl", "gaussian")
_TITLES = {
    "molecule_to_profile": "Profiles ranked for each molecule",
    "profile_to_molecule": "Molecules ranked for each profile",
}


@click.command("retrieve")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--queries",
    required=True,
    metavar="MOLECULES",
    help="Table with SMILES, or a context graph: its molecules with a profile in the space.",
)
@click.option(
    "--candidates",
    required=True,
    metavar="PROFILES",
    help="Table of raw profiles with the columns of the space, or a context graph. May be the same.",
)
@click.option("--space", help="Feature space of the run; by default the only one the candidates are in.")
@click.option("--exclude", metavar="FILE", help="Table whose molecules are left out, by structure.")
@click.option(
    "--include-seen", is_flag=True, help="Keep molecules that the run has seen; they are counted anyway."
)
@click.option(
    "--k",
    "ks",
    type=click.IntRange(min=1),
    multiple=True,
    default=(1, 10),
    show_default=True,
    help="Where HIT and NDCG are cut (repeatable).",
)
@click.option(
    "--scores",
    type=click.Choice(_SCORES),
    multiple=True,
    default=_SCORES,
    show_default=True,
    help="What to rank by (repeatable).",
)
@click.option("--smiles-column", help="The column of structures; by default found by its name.")
@click.option(
    "--id",
    "id_column",
    help="Column of both tables that says whose a profile is, where profiles lack SMILES.",
)
@click.option("--step", type=click.IntRange(min=0), help="Checkpoint; by default the best one, or the last.")
@click.option("--device", default="auto", show_default=True, help="'auto', 'cpu', 'cuda', ...")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder for the results."
)
@click.option("--overwrite", is_flag=True, help="Replace the folder if it exists.")
@json_option
def command(
    run: Path,
    queries: str,
    candidates: str,
    space: str | None,
    exclude: str | None,
    include_seen: bool,
    ks: tuple[int, ...],
    scores: tuple[str, ...],
    smiles_column: str | None,
    id_column: str | None,
    step: int | None,
    device: str,
    output: Path,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Match molecules with morphology or expression profiles.

    The profiles are ranked by how likely each is under what the run's decoder predicts of a molecule, and
    the molecules for each profile. Molecules that the run has seen in pretraining are left out; those it
    held out stay. The folder gets figures.json, per_query.csv and the distribution of ranks as PNG and SVG.
    """
    from infoalign_dgl._folders import atomic_folder
    from infoalign_dgl.evaluation import retrieve
    from infoalign_dgl.plots import draw_rank_distribution, save_figure

    progress = StageProgress()
    with atomic_folder(output, overwrite=overwrite) as folder:
        found = retrieve(
            run,
            queries,
            candidates,
            space=space,
            exclude=exclude,
            include_seen=include_seen,
            ks=ks,
            scores=scores,
            smiles_column=smiles_column,
            id_column=id_column,
            step=step,
            device=device,
            progress=progress,
        )
        progress.close()
        found.write(folder)
        for name, direction in found.directions.items():
            axes = draw_rank_distribution(direction, f"{_TITLES[name]} ({found.space})")
            save_figure(axes, folder, name)
    if as_json:
        print_json(found.to_json())
        return
    _print(found)
    click.echo(f"Wrote {output}.")


def _print(found: Retrieval) -> None:
    kept = "kept" if found.include_seen else "left out"
    labels = {
        "read": "rows read",
        "incomplete": "left out: more than 5 % of the entries missing",
        "unknown": "left out: no structure that can be read",
        "excluded": "left out by --exclude",
        "seen": f"seen in pretraining, {kept}",
        "repeated": "repeat a molecule",
        "ranked": "ranked",
        "held_out": "in the run's graph, held out",
        "filled": "missing entries filled with medians",
        "clipped": "entries clipped to the run's range",
    }
    print_table(
        f"Space {found.space}, {found.checkpoint} of {found.run}",
        ["", "molecules", "profiles"],
        [
            (label, *(side.get(name) for side in (found.counts["queries"], found.counts["candidates"])))
            for name, label in labels.items()
        ],
    )
    for name, direction in found.directions.items():
        by_score = direction.figures
        first = next(iter(by_score.values()))
        print_table(
            f"{_TITLES[name]} ({len(direction.queries):,} queries, {direction.candidates:,} candidates), "
            "with 95 % intervals",
            ["", *by_score, "chance"],
            [
                (
                    measure,
                    *(
                        _cell(of[measure].value, of[measure].low, of[measure].high)
                        for of in by_score.values()
                    ),
                    f"{first[measure].chance:.4g}",
                )
                for measure in first
            ],
        )


def _cell(value: float, low: float | None, high: float | None) -> str:
    return f"{value:.4g}" if low is None else f"{value:.4g} [{low:.3g}, {high:.3g}]"
