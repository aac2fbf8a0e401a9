"""A page that says why a run predicts what it predicts of one molecule."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from infoalign_dgl.plots.explanation import draw_alpha_mass, draw_features, draw_groups
from infoalign_dgl.plots.pages.shell import inline_figure, write_page

if TYPE_CHECKING:
    from infoalign_dgl.explanation import Explanation, Feature, SpacePrediction
    from infoalign_dgl.explanation.walked import VisitedNode

_NODES = ("molecule", "gene", "gene_expression", "morphology")


def write_explanation_page(found: Explanation, path: Path) -> None:
    """Write an explanation as one page.

    Parameters
    ----------
    found : Explanation
    path : Path
        The HTML file to write; one that is there is replaced.

    Raises
    ------
    InfoAlignError
        If the file cannot be written.
    """
    shaped = found.alpha_mass
    write_page(
        Path(path),
        "explanation.html",
        found=found,
        name=found.subject.ids[0] if found.subject.ids else found.subject.inchikey,
        run=Path(found.run).resolve().name,
        structure=structure_image(found.subject.smiles, 320, 220),
        trust=_trust(found),
        spaces=[_space(space) for space in found.predictions],
        alpha_figure=None
        if shaped is None or shaped.isolated
        else inline_figure(draw_alpha_mass(shaped), "Bars: the nodes with the largest alpha mass"),
        nodes=[]
        if shaped is None
        else [
            (kind, shaped.visited[kind], [_node(n) for n in shaped.nodes[kind]])
            for kind in _NODES
            if shaped.nodes[kind]
        ],
        space_mass=[]
        if shaped is None
        else [(s.space, s.node_type, f"{s.nodes:,}", _n(s.mass), f"{s.share:.1%}") for s in shaped.spaces],
        paths=[]
        if shaped is None
        else [(p.said(), _n(p.alpha), f"{p.taken:.1%}", _n(p.mass)) for p in shaped.paths],
        similar=[(s, structure_image(s.smiles, 240, 160)) for s in found.similar],
    )


def structure_image(smiles: str, width: int, height: int) -> Markup:
    """Draw a structure as an ``<img>`` that holds it; its SMILES in words where that cannot be drawn."""
    from rdkit import Chem, rdBase
    from rdkit.Chem.Draw import rdMolDraw2D

    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        return Markup("<code>{}</code>").format(smiles)
    drawing = rdMolDraw2D.MolDraw2DSVG(width, height)
    options: Any = drawing.drawOptions()
    options.clearBackground = False
    options.useBWAtomPalette()
    drawing.DrawMolecule(molecule)
    drawing.FinishDrawing()
    data = base64.b64encode(drawing.GetDrawingText().encode()).decode()
    return Markup(
        '<img class="figure" width="{}" height="{}" alt="{}" src="data:image/svg+xml;base64,{}">'
    ).format(width, height, f"Structure: {smiles}", data)


@dataclass(frozen=True)
class _Table:
    caption: str
    columns: list[str]
    rows: list[list[str | None]]


@dataclass(frozen=True)
class _Shown:
    """What the page says of a feature space."""

    of: SpacePrediction
    features: Markup | None
    groups: Markup | None
    tables: list[_Table]
    compared: str


def _space(found: SpacePrediction) -> _Shown:
    any_feature = bool(found.up or found.down)
    return _Shown(
        found,
        inline_figure(draw_features(found), f"Bars: the features of {found.space} furthest up and down")
        if any_feature
        else None,
        inline_figure(draw_groups(found), f"Heatmap: distances in {found.space} by compartment and channel")
        if found.groups
        else None,
        [
            _features(f"{found.space}, furthest {way}", features, found)
            for way, features in (("up", found.up), ("down", found.down))
            if features
        ],
        _compared(found),
    )


def _features(caption: str, features: list[Feature], found: SpacePrediction) -> _Table:
    columns = {
        "feature": [f.label if f.label == f.column else f"{f.label} ({f.column})" for f in features],
        "predicted": [_n(f.predicted) for f in features],
        "sigma": [_n(f.sigma) for f in features],
        "distance": [_n(f.distance) for f in features] if found.reference == "median" else [],
        "column mean": [_n(f.mean) for f in features if f.mean is not None],
        "beyond mean": [_n(f.beyond) for f in features if f.beyond is not None],
        "measured": [_n(f.measured) for f in features if f.measured is not None],
    }
    shown = {name: values for name, values in columns.items() if values}
    return _Table(caption, list(shown), [list(row) for row in zip(*shown.values(), strict=True)])


def _compared(found: SpacePrediction) -> str:
    """Say how the prediction compares with the measured profile and with the column means."""
    said = []
    if found.departure is not None:
        said.append(
            f"The prediction differs from the column means {found.departure:.2f} times as much as a profile "
            "does on average."
        )
    if found.profiles:
        names = ", ".join(found.profiles)
        said.append(f"The molecule was measured ({names}).")
        if found.correlation is not None:
            said.append(f"Over the columns, prediction and measurement correlate by {found.correlation:.2f}")
            said[-1] += (
                "." if found.beyond_means is None else f", beyond the means by {found.beyond_means:.2f}."
            )
        if found.rank is not None:
            said.append(
                f"Of the space's {found.ranked:,} profiles its own is number {found.rank:,} in likeness to "
                "the prediction."
            )
    else:
        said.append("No measured profile of the molecule is known here.")
    return " ".join(said)


def _trust(found: Explanation) -> _Table:
    """Tabulate what says how far decoders can be trusted, without columns that nothing is known of."""
    spaces, validations = found.predictions, [space.validation for space in found.predictions]
    columns = {
        "space": [space.space for space in spaces],
        "departure": [_n(space.departure) for space in spaces],
        "held out": [None if v is None else f"{v.difference:+.4f}" for v in validations],
        "targets": [None if v is None else f"{v.targets:,}" for v in validations],
        "correlation": [_n(space.correlation) for space in spaces],
        "beyond means": [_n(space.beyond_means) for space in spaces],
        "rank": [None if s.rank is None else f"{s.rank:,} of {s.ranked:,}" for s in spaces],
    }
    known = {name: values for name, values in columns.items() if any(v is not None for v in values)}
    caption = "How far the decoders can be trusted, by feature space"
    return _Table(caption, list(known), [list(row) for row in zip(*known.values(), strict=True)])


def _node(node: VisitedNode) -> list[str]:
    return [
        node.key,
        node.label,
        _n(node.mass) or "",
        _n(node.error) or "",
        f"{node.share:.1%}",
        str(node.steps),
        ", ".join(node.spaces) or "none: a way through",
    ]


def _n(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"
