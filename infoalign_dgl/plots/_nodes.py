"""What figures show of a node: its name, its colour, and a molecule's structure as a picture."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from rdkit import rdBase
from rdkit.Chem.Draw.rdMolDraw2D import MolDraw2DCairo

from infoalign_dgl.context import NODE_TYPES
from infoalign_dgl.molecules.parsing import parse_structure

if TYPE_CHECKING:
    from infoalign_dgl.context import ContextGraph

_LONGEST = 24


def locate(graph: ContextGraph, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn global ids into positions in ``NODE_TYPES`` and local ids, shaped as ``nodes``; -1 stays -1."""
    starts = np.array([graph.node_offsets[kind] for kind in NODE_TYPES])
    kinds = np.searchsorted(starts, nodes, side="right") - 1
    there = nodes >= 0
    return np.where(there, kinds, -1), np.where(there, nodes - starts[kinds], -1)


def node_label(graph: ContextGraph, node_type: str, node: int) -> str:
    """Return a short name: a gene's symbol, a profile's key on two lines, a molecule's key."""
    row = graph.nodes[node_type].iloc[node]
    if node_type == "gene":
        return shorten(str(row["symbol"]) or str(row["key"]))
    return "\n".join(shorten(part) for part in str(row["key"]).split(":", 1))


def shorten(text: str) -> str:
    """Cut a text that would not fit under a node."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def structure_image(smiles: str, width: int, height: int) -> np.ndarray | None:
    """Draw a structure on a transparent ground.

    Parameters
    ----------
    smiles : str
    width, height : int
        Pixels.

    Returns
    -------
    (height, width, 4) float32 array or None
        None for what is no structure.
    """
    with rdBase.BlockLogs():
        molecule, _ = parse_structure(smiles)
        if molecule is None:
            return None
        drawing = MolDraw2DCairo(width, height)
        options: Any = drawing.drawOptions()  # its stub has wrong types
        options.setBackgroundColour((1, 1, 1, 0))
        options.padding = 0.03
        options.bondLineWidth = 3
        options.scaleBondWidth = False
        options.minFontSize = 18
        drawing.DrawMolecule(molecule)
        drawing.FinishDrawing()
    return plt.imread(io.BytesIO(drawing.GetDrawingText()), format="png")
