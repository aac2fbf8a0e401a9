"""What all pages share: the frame, styles and scripts inside one file, and figures as part of it."""

from __future__ import annotations

import base64
import io
import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2
import matplotlib as mpl
import matplotlib.pyplot as plt
from markupsafe import Markup

from infoalign_dgl import __version__
from infoalign_dgl._folders import replace_text

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

_HERE = "infoalign_dgl.plots.pages"
_POINTS_OF_A_VECTOR = 2_000  # figures with more points than these are pictures: smaller, and quicker to show


def write_page(path: Path, template: str, **values: Any) -> None:
    """Render a template and write the page, whole or not at all.

    Parameters
    ----------
    path : Path
        The file to write; one that is there is replaced.
    template : str
        File name in ``templates/``, which extends ``page.html``.
    values
        What the template says; text is escaped.

    Raises
    ------
    InfoAlignError
        If the file cannot be written.
    """
    replace_text(path, render(template, **values))


def render(template: str, **values: Any) -> str:
    """Render a template of ``templates/`` with the values that it names, text being escaped."""
    return _environment().get_template(template).render(version=__version__, **values)


def inline_figure(axes: Axes, alt: str, *, points: int = 0) -> Markup:
    """Turn the figure of some axes into an ``<img>`` that holds it, and close it.

    Parameters
    ----------
    axes : matplotlib Axes
    alt : str
        What the figure shows, for who cannot see it.
    points : int
        How many points are drawn; many of them make a PNG, few an SVG.

    Returns
    -------
    Markup
        ``<img class="figure">``; the page's style inverts it on a dark ground.
    """
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("'axes' must be on a figure, and were removed from theirs")
    kind, subtype = ("png", "png") if points > _POINTS_OF_A_VECTOR else ("svg", "svg+xml")
    held = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": alt, "svg.fonttype": "none", "font.family": "sans-serif"}):
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(held, format=kind, dpi=130, transparent=True, metadata=metadata)
    plt.close(figure)
    data = base64.b64encode(held.getvalue()).decode()
    return Markup('<img class="figure" alt="{}" src="data:image/{};base64,{}">').format(alt, subtype, data)


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(_HERE, "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.globals["asset"] = _asset
    made.filters["script_json"] = _script_json
    made.filters["count"] = lambda value: f"{value:,}"
    return made


@cache
def _asset(name: str) -> Markup:
    """Give the text of a file in ``assets/``, to stand in a page as it is."""
    return Markup(files(_HERE).joinpath("assets", name).read_text(encoding="utf-8"))


def _script_json(value: Any) -> Markup:
    """Write JSON that can stand inside ``<script>``: no text of the data can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028")):
        text = text.replace(sign, code)
    return Markup(text)
