"""How the documentation is built: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from infoalign_dgl import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "infoalign-dgl"
author = "The infoalign-dgl developers"
release = version = __version__

extensions = [
    "mathml",
    "myst_parser",
    "public_names",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_design",
]
exclude_patterns = ["_ext"]

# Pages: anchors are those that GitHub gives to headings, so that a link works in both places.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
html_math_renderer = "mathml"

# Reference: signatures as they are written, and what docstrings say of their parts.
autodoc_default_options = {"members": True, "exclude-members": "model_config"}  # pydantic's own
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"
autosummary_generate = False
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
add_module_names = False
nitpicky = True  # a function or method that a docstring names has to be in the reference ...
nitpick_ignore = [("py:exc", "ElsewhereError")]
nitpick_ignore_regex = [("py:(class|obj)", ".*")]  # ... types in words ("array_like") need not
default_role = "py:obj"  # single backticks in docstrings and help texts
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "infoalign-dgl"
html_static_path = ["_static"]
html_css_files = ["page.css"]
html_copy_source = False
html_show_copyright = False
html_show_search_summary = False  # it fetches pages, which browsers refuse where they are read from a disk
html_show_sphinx = False
html_theme_options = {
    # The accents of the pages that `inspect --html` and `report` write.
    "light_css_variables": {"color-brand-primary": "#0068a3", "color-brand-content": "#0068a3"},
    "dark_css_variables": {"color-brand-primary": "#6cb8ee", "color-brand-content": "#6cb8ee"},
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Let links of pages to files beside the README lead to the pages that include them."""

    def lead_here(_app: Sphinx, _page: str, text: list[str]) -> None:
        for name in ("CHANGELOG", "CONTRIBUTING"):
            text[0] = text[0].replace(f"](../{name}.md", f"]({name.lower()}.md")

    app.connect("source-read", lead_here)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
