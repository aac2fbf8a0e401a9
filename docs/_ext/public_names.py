"""``.. public-names:: PACKAGE``: a table of a package's public names, and the reference of each.

What is public is what ``__all__`` lists, so that a new name is documented without a word here.
"""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING, Any

from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.errors import ExtensionError
from sphinx.pycode import ModuleAnalyzer

if TYPE_CHECKING:
    from docutils.nodes import Node
    from sphinx.application import Sphinx


class PublicNames(Directive):
    """The directive."""

    required_arguments = 1

    def run(self) -> list[Node]:
        """Insert the lines that other directives make the reference of."""
        package = self.arguments[0]
        module = importlib.import_module(package)
        names = sorted(name for name in module.__all__ if not name.startswith("__"))
        lines = [".. autosummary::", "   :nosignatures:", ""]
        lines += [f"   ~{package}.{name}" for name in names if _kind(getattr(module, name))]
        lines += [""]
        for name in names:
            lines += [*_reference(module, name), ""]
        self.state_machine.insert_input(StringList(lines, source=package), package)
        return []


def _kind(value: Any) -> str | None:
    """Which directive documents it; None for plain values."""
    if inspect.isclass(value):
        return "autoclass" if not issubclass(value, BaseException) else "autoexception"
    return "autofunction" if callable(value) else None


def _reference(module: Any, name: str) -> list[str]:
    kind = _kind(getattr(module, name))
    if kind is not None:
        return [f".. {kind}:: {module.__name__}.{name}"]
    # A value has its text in the source of the module that it is taken from, not in itself.
    home = getattr(module, "_EXPORTS", {}).get(name, module.__name__)
    text = ModuleAnalyzer.for_module(home).find_attr_docs().get(("", name))
    if text is None:
        raise ExtensionError(f"{home}.{name} is public and says nothing of itself: put a docstring below it")
    return [f".. py:data:: {module.__name__}.{name}", "", *(f"   {line}" for line in text)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("public-names", PublicNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
