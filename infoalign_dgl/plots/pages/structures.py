"""Structures of molecules in few bytes: RDKit's drawing as a path of lines, one of wedges, and letters."""

from __future__ import annotations

import re
from typing import Any

WIDTH, HEIGHT = 400, 300  # of the box that the numbers of a drawing lie in
_PIXEL = 2  # units of the box per unit of RDKit's drawing: a quarter of a pixel is not seen
_PATH = re.compile(r"<path [^>]*?d='([^']*)'[^>]*?style='fill:([^;]*);")
_TEXT = re.compile(r"<text x='([-\d.]+)' y='([-\d.]+)'[^>]*?font-size:([\d.]+)px[^>]*>([^<]*)</text>")
_POINT = re.compile(r"([-\d.]+)[, ]([-\d.]+)")

Structure = list[str | int | list[int | str]]


def compact_structure(smiles: str) -> Structure | None:
    """Draw a molecule's structure.

    Parameters
    ----------
    smiles : str
        The structure.

    Returns
    -------
    list or None
        ``[lines, wedges, size, letters]``: the ``d`` of a path to stroke and of one to fill, the height of
        the letters, and x, y, letter and 1 for a small one, else 0, one after the other; all in a box of 400
        by 300. None where the text is no structure.
    """
    from rdkit import Chem, rdBase
    from rdkit.Chem.Draw.rdMolDraw2D import MolDraw2DSVG

    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        if molecule is None or not molecule.GetNumAtoms():
            return None
        drawing: Any = MolDraw2DSVG(WIDTH // _PIXEL, HEIGHT // _PIXEL, noFreetype=True)  # letters stay text
        options = drawing.drawOptions()
        options.useBWAtomPalette()
        options.padding = 0.03
        options.bondLineWidth = 1
        options.minFontSize, options.maxFontSize = 6, 11
        options.fixedBondLength = 25
        drawing.DrawMolecule(molecule)
    drawing.FinishDrawing()
    return _compact(drawing.GetDrawingText())


def _compact(svg: str) -> Structure:
    lines, wedges = [], []
    for path, fill in _PATH.findall(svg):
        points = [(_unit(x), _unit(y)) for x, y in _POINT.findall(path)]
        if fill != "none":
            wedges.append(_relative(points) + "z")
        elif len(points) == 2:  # of three are the corners between lines, which round ends make needless
            lines.append(points)
    letters = [
        (_unit(x), _unit(y), round(_PIXEL * float(size)), text) for x, y, size, text in _TEXT.findall(svg)
    ]
    size = max((letter[2] for letter in letters), default=0)
    flat: list[int | str] = []
    for x, y, height, text in letters:
        flat += [x, y, _plain(text), int(height < size)]
    return ["".join(map(_relative, _joined(lines))), "".join(wedges), size, flat]


def _joined(lines: list[list[tuple[int, int]]]) -> list[list[tuple[int, int]]]:
    """Let lines go on where the one before ended."""
    joined: list[list[tuple[int, int]]] = []
    for line in lines:
        if joined and joined[-1][-1] == line[0]:
            joined[-1].append(line[1])
        else:
            joined.append(list(line))
    return joined


def _relative(points: list[tuple[int, int]]) -> str:
    (x, y), *others = points
    text = f"M{x} {y}l"
    steps = []
    for next_x, next_y in others:
        steps.append(f"{next_x - x} {next_y - y}")
        x, y = next_x, next_y
    return text + " ".join(steps).replace(" -", "-")


def _unit(number: str) -> int:
    return round(_PIXEL * float(number))


def _plain(text: str) -> str:
    for code, sign in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(code, sign)
    return text
