"""What sections of a page are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True)
class Chart:
    """A figure and what it shows.

    Attributes
    ----------
    title : str
        Names it among the others.
    image : Markup
        The whole ``<img>``.
    caption : str
    """

    title: str
    image: Markup
    caption: str = ""


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes
    ----------
    caption : str
    columns : list of str
    rows : list of list
        Cells as they are shown; None for an empty one.
    numeric : tuple of int
        Columns that are aligned right.
    """

    caption: str
    columns: list[str]
    rows: list[list[Any]]
    numeric: tuple[int, ...] = ()


@dataclass(frozen=True)
class GroupedGrid:
    """A table whose rows stand in groups, the best cells marked.

    Attributes
    ----------
    caption : str
    columns : list of str
    groups : list of (str, list of list of (str, bool))
        The name of each group (may be empty), and its rows: text and whether it is the best.
    notes : list of str
        Sentences below.
    """

    caption: str
    columns: list[str]
    groups: list[tuple[str, list[list[tuple[str, bool]]]]]
    notes: list[str] = field(default_factory=list)
