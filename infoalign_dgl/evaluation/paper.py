"""The results that the paper reports, as far as they could be read."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class PaperRow:
    """One method of the paper.

    Attributes
    ----------
    group, method : str
    cells : dict of str to (float, float)
        Mean and standard deviation by task set or endpoint: ROC-AUC in [0, 1], or mean absolute error. What
        was not read is not in it.
    note : str or None
    """

    group: str
    method: str
    cells: dict[str, tuple[float, float]]
    note: str | None


@dataclass(frozen=True)
class PaperResults:
    """Every method of the paper's tables, those without a figure too.

    Attributes
    ----------
    source : str
        Where the figures were read.
    endpoints : dict of str to str
        The paper's short name of each endpoint of ``biogenadme`` to its column.
    rows : list of PaperRow
    """

    source: str
    endpoints: dict[str, str]
    rows: list[PaperRow]


def read_paper_results() -> PaperResults:
    """Read the paper's results that come with the package."""
    text = resources.files("infoalign_dgl.evaluation").joinpath("paper_results.toml").read_text("utf-8")
    content = tomllib.loads(text)
    rows = []
    for row in content["rows"]:
        cells = {
            name: (value[0] / 100, value[1] / 100) for name, value in row.items() if isinstance(value, list)
        }
        rows.append(PaperRow(row["group"], row["method"], cells, row.get("note")))
    return PaperResults(content["source"], content["columns"], rows)
