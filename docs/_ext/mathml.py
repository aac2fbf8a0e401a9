"""Equations as MathML, which browsers draw themselves: no script and nothing from the network."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

if TYPE_CHECKING:
    from docutils.nodes import Element, math, math_block
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

log = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer; ``html_math_renderer = "mathml"`` chooses it."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(writer: HTML5Translator, node: math) -> None:
    writer.body.append(_mathml(node, block=False))
    raise SkipNode


def _display(writer: HTML5Translator, node: math_block) -> None:
    writer.body.append(writer.starttag(node, "div", CLASS="math"))
    writer.body.append(f"<div>{_mathml(node, block=True)}</div>")
    if node["number"]:
        number = get_node_equation_number(writer, node)
        writer.body.append(f'<span class="eqno">({number})')
        writer.add_permalink_ref(node, _("Link to this equation"))
        writer.body.append("</span>")
    writer.body.append("</div>\n")
    raise SkipNode


def _mathml(node: Element, *, block: bool) -> str:
    try:
        return tex2mathml(node.astext(), as_block=block)
    except Exception as error:  # noqa: BLE001 - docutils raises several kinds
        log.warning("equation cannot be read: %s: %s", node.astext(), error, location=node)
        return f"<code>{escape(node.astext())}</code>"
