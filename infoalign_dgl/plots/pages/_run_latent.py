"""The latent of some molecules: a map, and which of its dimensions say something."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.errors import InfoAlignError
from infoalign_dgl.models.bottleneck import AT_FLOOR, SIGMA_FLOOR
from infoalign_dgl.plots.dimensions import Dimensions, draw_dimension_divergences
from infoalign_dgl.plots.latent import draw_latent_map
from infoalign_dgl.plots.latent_spread import draw_latent_spread
from infoalign_dgl.plots.pages._parts import Chart, Grid
from infoalign_dgl.plots.pages._run_molecules import Chosen, from_graph, from_table
from infoalign_dgl.plots.pages.shell import inline_figure

if TYPE_CHECKING:
    from pathlib import Path

    from infoalign_dgl.training.run_folder import RunConfig

_NARROW, _TOLD = 0.5, 0.1


@dataclass(frozen=True)
class LatentSection:
    """What the page shows of the latent.

    Attributes
    ----------
    charts : list of Chart
        Empty where there is no map.
    table : Grid or None
    said : str
        Which molecules these are, or why there is no map.
    warning : str
        What keeps sigma and the divergence from saying what they should; empty where nothing does.
    """

    said: str
    charts: list[Chart] = field(default_factory=list)
    table: Grid | None = None
    warning: str = ""


def describe_latent(
    run: Path, config: RunConfig, molecules: Path | None, label: str | None, seed: int
) -> LatentSection:
    """Embed molecules and draw them.

    Parameters
    ----------
    run : Path
    config : RunConfig
        Of the run.
    molecules : Path or None
        A table with SMILES; None for molecules of the run's graph, where it is still there.
    label : str or None
        Column of the table to colour by.
    seed : int
        Of the draw that leaves molecules out.

    Raises
    ------
    InfoAlignError
        If the table or its columns cannot be read.
    """
    if molecules is not None:
        chosen: Chosen | str = from_table(molecules, label, seed)
    else:
        chosen = from_graph(config, seed)
    if isinstance(chosen, str):
        return LatentSection(chosen)
    from infoalign_dgl.molecules import standardized_graphs
    from infoalign_dgl.representation import load

    try:
        representation = load(run)
    except InfoAlignError as error:
        return LatentSection(f"There is no map: {error}.")
    packed, reasons = standardized_graphs(
        chosen.smiles, tautomer=representation.tautomer, helpers=representation.helpers
    )
    rows = np.array([row for row, reason in enumerate(reasons) if reason is None], np.int64)
    failed = len(reasons) - len(rows)
    said = chosen.said + (f" {failed:,} of them have a structure that cannot be read." if failed else "")
    mu, sigma = representation.latents(packed, rows)
    if mu.shape[1] < 2 or len(np.unique(mu, axis=0)) < 3:
        return LatentSection(
            f"{said} There is no map: it needs three molecules with different vectors of two numbers or more."
        )
    found, floored = Dimensions.of(mu, sigma), int((sigma.max(axis=0) < AT_FLOOR).sum())
    charts = _charts(mu, sigma, [chosen.labels[row] for row in rows], found)
    return LatentSection(said, charts, _table(found, floored), _warning(floored, mu.shape[1], config))


def _charts(mu: np.ndarray, sigma: np.ndarray, labels: list[str], found: Dimensions) -> list[Chart]:
    """Draw the map, the spread of the dimensions, and their divergence."""
    map_ = draw_latent_map(mu, labels, title=f"{len(mu):,} molecules, first two components of mu")
    return [
        Chart(
            "Map",
            inline_figure(
                map_,
                "Map of the latent: molecules by the first two principal components of mu",
                points=len(mu),
            ),
            f"Each point is a molecule. The two components hold {_share_of_two(mu):.0%} of the "
            "variance of mu, whose dimensions count alike; what is near here may be far in the others.",
        ),
        Chart(
            "Dimensions",
            inline_figure(
                draw_latent_spread(mu, sigma), "Spread of mu against mean sigma, a point a dimension"
            ),
            "A dimension tells molecules apart where mu spreads further than sigma is wide. Sigma is the "
            "noise that training adds to mu, and not how sure predictions are.",
        ),
        Chart(
            "Divergence by dimension",
            inline_figure(
                draw_dimension_divergences(found), "Histogram of the dimensions' divergence from the prior"
            ),
            "What a dimension says of a molecule costs divergence from the prior.",
        ),
    ]


def _warning(floored: int, size: int, config: RunConfig) -> str:
    """Say that the bottleneck is idle, where sigma is at its floor."""
    if not floored:
        return ""
    many = f"all {size:,}" if floored == size else f"{floored:,} of the {size:,}"
    weight = "" if config.pretrain is None else f" ({config.pretrain.beta:g})"
    each = Dimensions.of(np.zeros((1, 1)), np.full((1, 1), SIGMA_FLOOR)).kl[0]
    return (
        f"In {many} dimensions sigma is at the floor that keeps it above 0 ({SIGMA_FLOOR:g}) for all of "
        f"these molecules: with so small a beta{weight} the divergence from the prior weighs next to "
        "nothing, and the bottleneck leaves nothing out there. Such a sigma does not mean that the encoder "
        f"is certain, and it makes up {each:.1f} nats of the divergence of each, whatever mu says."
    )


def _table(found: Dimensions, floored: int) -> Grid:
    size = len(found.sigma)
    rows = [
        ["dimensions", f"{size:,}"],
        [f"with a mean sigma below {_NARROW} (the prior's is 1)", f"{int((found.sigma < _NARROW).sum()):,}"],
        [f"with sigma at its floor of {SIGMA_FLOOR:g}", f"{floored:,}"],
        ["in which mu spreads further than sigma is wide", f"{int((found.spread > found.sigma).sum()):,}"],
        [f"that diverge from the prior by more than {_TOLD} nats", f"{int((found.kl > _TOLD).sum()):,}"],
        ["median over dimensions: spread of mu", f"{np.median(found.spread):.4g}"],
        ["median over dimensions: mean sigma", f"{np.median(found.sigma):.4g}"],
        ["divergence of a molecule over all dimensions, nats", f"{found.kl.sum():,.1f}"],
    ]
    return Grid("How many dimensions carry information", ["", ""], rows, (1,))


def _share_of_two(mu: np.ndarray) -> float:
    """Share of the variance of standardized columns that their first two components hold."""
    centred = mu.astype(np.float64) - mu.mean(axis=0, dtype=np.float64)
    spread = centred.std(axis=0)
    scaled = centred / np.where(spread > 0, spread, 1.0)
    values = np.linalg.svd(scaled, compute_uv=False) ** 2
    return float(values[:2].sum() / values.sum())
