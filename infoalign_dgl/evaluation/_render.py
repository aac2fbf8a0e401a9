"""Tables as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infoalign_dgl._folders import replace_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "≥": r"$\geq$",
    }
)


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table; ``best`` is set in bold."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table to read and the numbers in it.

    Attributes
    ----------
    title : str
    header : list of str
        One name a column.
    groups : list of (str, list of list of Cell)
        Rows under the name of their group.
    records : list of dict
        The same numbers unrounded, a row each of the CSV; all have the same keys.
    notes : list of str
        Sentences below the table.
    """

    title: str
    header: list[str]
    groups: list[tuple[str, list[list[Cell]]]]
    records: list[dict[str, object]]
    notes: list[str]

    def to_markdown(self) -> str:
        """Give the table as Markdown, groups as rows that hold their name alone."""
        lines = [
            f"**{self.title}**",
            "",
            _bars(self.header),
            _bars(["---"] + ["---:"] * (len(self.header) - 1)),
        ]
        for group, rows in self.groups:
            lines += [_bars([f"*{group}*"] + [""] * (len(self.header) - 1))] if group else []
            lines += [_bars([f"**{cell.text}**" if cell.best else cell.text for cell in row]) for row in rows]
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines) + "\n"

    def to_latex(self) -> str:
        """Give the table as LaTeX, for the package booktabs."""
        lines = [
            r"\begin{table}",
            rf"\caption{{{_escaped(self.title)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(self.header) - 1)}}}",
            r"\toprule",
            " & ".join(map(_escaped, self.header)) + r" \\",
        ]
        for group, rows in self.groups:
            lines.append(r"\midrule")
            if group:
                lines.append(rf"\multicolumn{{{len(self.header)}}}{{l}}{{\emph{{{_escaped(group)}}}}} \\")
            for row in rows:
                cells = (
                    rf"\textbf{{{_escaped(cell.text)}}}" if cell.best else _escaped(cell.text) for cell in row
                )
                lines.append(" & ".join(cells) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [rf"\par\footnotesize {' '.join(map(_escaped, self.notes))}"] if self.notes else []
        return "\n".join([*lines, r"\end{table}"]) + "\n"

    def to_csv(self) -> str:
        """Give the numbers as CSV, unrounded; what there is not is empty."""
        return records_csv(self.records)


def records_csv(records: Sequence[Mapping[str, object]]) -> str:
    """Write rows of the same keys as CSV text."""
    stream = io.StringIO()
    if records:
        writer = csv.DictWriter(stream, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    return stream.getvalue()


def write_table(table: Table, folder: Path, name: str) -> None:
    """Write ``name.md``, ``name.tex`` and ``name.csv`` into a folder that exists.

    Raises
    ------
    InfoAlignError
        If a file cannot be written.
    """
    for ending, text in (("md", table.to_markdown()), ("tex", table.to_latex()), ("csv", table.to_csv())):
        replace_text(folder / f"{name}.{ending}", text)


def _bars(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _escaped(text: str) -> str:
    return text.translate(_LATEX)
