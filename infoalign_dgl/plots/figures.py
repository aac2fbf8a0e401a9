"""Figures as files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt

from infoalign_dgl._folders import replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes


def save_figure(axes: Axes, folder: Path, name: str) -> None:
    """Write the figure of some axes as ``name.png`` and ``name.svg``, and close it.

    The same figure gives the same SVG, byte for byte: no date, and ids that do not change.

    Parameters
    ----------
    axes : matplotlib Axes
    folder : Path
        Exists.
    name : str

    Raises
    ------
    InfoAlignError
        If a file cannot be written.
    """
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("'axes' must be on a figure, and were removed from theirs")
    png, svg = io.BytesIO(), io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(png, format="png", dpi=160)
        figure.savefig(svg, format="svg", metadata={"Date": None})
    replace_file(folder / f"{name}.png", lambda file: file.write(png.getvalue()))
    replace_file(folder / f"{name}.svg", lambda file: file.write(svg.getvalue()))
    plt.close(figure)
