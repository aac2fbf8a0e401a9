"""``infoalign-dgl explain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infoalign_dgl.cli._output import json_option, print_json, print_table, require_pages

if TYPE_CHECKING:
    from infoalign_dgl.explanation import AlphaMass, Explanation, Feature, Group, Similar, SpacePrediction

_SHOWN = 60  # letters of a name in a table
_LEGEND = """\
departure: what the prediction differs from the column means; a profile's own difference is 1 on average.
held out: nats per column by which the decoder is better (below 0) or worse (above) than the column means on
  molecules held out, and how many of these have a target in the space.
correlation: of prediction and measured profile over the columns; beyond means: of what both differ from the
  column means; rank: of the measured profile among all of the space, the most alike to the prediction first.
"""


@click.command("explain")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--molecule", required=True, metavar="MOLECULE", help="SMILES, InChI, InChIKey, or an id in the graph."
)
@click.option(
    "--graph",
    type=click.Path(path_type=Path),
    help="Where the run's graph is now; by default where it was in pretraining.",
)
@click.option(
    "--walks", type=click.IntRange(min=2), default=1000, show_default=True, help="Walks from the molecule."
)
@click.option(
    "--draws",
    type=click.IntRange(min=2),
    default=30,
    show_default=True,
    help="Draws of the latent for sigma.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of these draws.")
@click.option(
    "--top", type=click.IntRange(min=1), default=10, show_default=True, help="Nodes and features to name."
)
@click.option("--step", type=click.IntRange(min=0), help="Checkpoint; by default the best one, or the last.")
@click.option("--device", default="auto", show_default=True, help="'auto', 'cpu', 'cuda', ...")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a page of it, too.")
@json_option
def command(
    run: Path,
    molecule: str,
    graph: Path | None,
    walks: int,
    draws: int,
    seed: int,
    top: int,
    step: int | None,
    device: str,
    html: Path | None,
    as_json: bool,
) -> None:
    """Say what shaped a molecule's targets, and what cells are predicted to do.

    Of a molecule in the graph: the genes, profiles and molecules that its training walks visit, by the alpha
    that falls on them. Of any molecule: what the run's decoders predict in original units, the measured
    profile beside it where there is one, and how far the decoders can be trusted. Of a new molecule: the
    most similar ones in the graph.
    """
    if html is not None:
        require_pages()
    from infoalign_dgl.explanation import explain

    def tell(sentence: str) -> None:
        click.echo(sentence, err=True)

    found = explain(
        run,
        molecule,
        graph=graph,
        walks=walks,
        draws=draws,
        seed=seed,
        top=top,
        step=step,
        device=device,
        tell=tell,
    )
    if html is not None:
        from infoalign_dgl.plots.pages import write_explanation_page

        write_explanation_page(found, html)
        click.echo(f"Wrote {html}.", err=True)
    if as_json:
        print_json(found.to_json())
    else:
        _print(found)


def _print(found: Explanation) -> None:
    of = found.subject
    click.echo(f"{of.smiles}\n{', '.join([of.inchikey, *of.ids])}\n{of.said}\n")
    if found.alpha_mass is not None:
        _print_alpha_mass(found.alpha_mass)
    _print_similar(found.similar)
    print_table(
        f"How far the decoders of {Path(found.run).resolve().name}, {found.checkpoint}, can be trusted",
        ["space", "departure", "held out", "targets", "correlation", "beyond means", "rank"],
        [_trust(space) for space in found.predictions],
    )
    click.echo(_LEGEND)
    if found.notes:
        click.echo("Before believing any of it:")
        for note in found.notes:
            click.echo(f"- {note}")
        click.echo()
    for space in found.predictions:
        _print_space(space)


def _print_alpha_mass(found: AlphaMass) -> None:
    print_table(
        f"Alpha mass by feature space ({found.walks:,} walks of {found.length} steps, transition "
        f"{found.transition}, seed {found.seed})",
        ["space", "nodes", "alpha mass", "share"],
        [(s.space, s.nodes, s.mass, f"{s.share:.1%}") for s in found.spaces if s.nodes],
    )
    for kind, nodes in found.nodes.items():
        shown = f" (the first {len(nodes):,} of {found.visited[kind]:,})"
        print_table(
            f"{kind} nodes by alpha mass{shown if len(nodes) < found.visited[kind] else ''}",
            ["id", "name", "alpha mass", "+-", "share", "steps", "target in"],
            [
                (
                    *(node.key, _short(node.label), node.mass, node.error, f"{node.share:.1%}", node.steps),
                    ", ".join(node.spaces) or "none: a way through",
                )
                for node in nodes
            ],
        )
    print_table(
        "Paths that carry most alpha",
        ["path", "alpha", "taken by", "alpha mass"],
        [(path.said(), path.alpha, f"{path.taken:.1%}", path.mass) for path in found.paths],
    )


def _print_similar(similar: list[Similar]) -> None:
    print_table(
        "Nearest molecules in the graph (Tanimoto, Morgan fingerprints of radius 2)",
        ["similarity", "molecule", "ids", "measured in", "structure"],
        [
            (f"{s.similarity:.2f}", s.key, ", ".join(s.ids[:2]), ", ".join(s.measured), s.smiles)
            for s in similar
        ],
    )


def _trust(space: SpacePrediction) -> tuple[object, ...]:
    validation = space.validation
    return (
        space.space,
        space.departure,
        None if validation is None else f"{validation.difference:+.4f}",
        None if validation is None else validation.targets,
        space.correlation,
        space.beyond_means,
        None if space.rank is None else f"{space.rank:,} of {space.ranked:,}",
    )


def _print_space(space: SpacePrediction) -> None:
    click.echo(f"{space.space} ({space.node_type}, {space.columns:,} columns). {space.said}\n")
    for title, features in (("furthest up", space.up), ("furthest down", space.down)):
        _print_features(f"{space.space}: {title}", features, distances=space.reference == "median")
    _print_groups(space)
    if space.ungrouped:
        named = (space.up + space.down)[:1]
        click.echo(
            f"The names of {space.ungrouped:,} columns{f', such as {named[0].column},' if named else ''} say "
            "no compartment and no channel.\n"
        )


def _print_features(title: str, features: list[Feature], *, distances: bool) -> None:
    """Print features; distances from 0 in the columns' own units would repeat the predictions."""
    columns: dict[str, list[object]] = {
        "feature": [f.label for f in features],
        "predicted": [f.predicted for f in features],
        "sigma": [f.sigma for f in features],
        "distance": [f.distance for f in features] if distances else [],
        "column mean": [f.mean for f in features if f.mean is not None],
        "beyond mean": [f.beyond for f in features if f.beyond is not None],
        "measured": [f.measured for f in features if f.measured is not None],
    }
    shown = {name: values for name, values in columns.items() if values}
    print_table(title, list(shown), zip(*shown.values(), strict=True))


def _print_groups(space: SpacePrediction) -> None:
    compartments = list(dict.fromkeys(group.compartment for group in space.groups))
    channels = list(dict.fromkeys(group.channel for group in space.groups))
    found = {(group.compartment, group.channel): group for group in space.groups}
    measured = any(group.measured is not None for group in space.groups)
    print_table(
        f"{space.space}: mean distance{' (measured)' if measured else ''} by compartment and channel",
        ["", *channels],
        [(row, *(_group(found.get((row, channel))) for channel in channels)) for row in compartments],
    )


def _group(group: Group | None) -> str:
    if group is None:
        return ""
    return f"{group.predicted:.2f}" + ("" if group.measured is None else f" ({group.measured:.2f})")


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
