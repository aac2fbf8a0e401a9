"""A comparison's tables, written into its results folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from infoalign_dgl._folders import replace_text
from infoalign_dgl.evaluation.comparisons import comparison_table
from infoalign_dgl.evaluation.paper import read_paper_results
from infoalign_dgl.evaluation.tables import (
    endpoint_table,
    per_task_csv,
    shares_table,
    summary_table,
    write_table,
)
from infoalign_dgl.evaluation.uncertainty_table import certainty_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from infoalign_dgl.evaluation.experiment import Judged
    from infoalign_dgl.evaluation.tables import MethodResult, Table

TABLES = "tables"


def write_tables(folder: Path, judged: Sequence[Judged], method: str) -> list[Table]:
    """Write all tables of a comparison.

    Parameters
    ----------
    folder : Path
        Of the results: gets ``tables/*.md``, ``.tex`` and ``.csv``, and for each task set ``per_task.csv``
        and ``split.csv``.
    judged : sequence of Judged
        One for each task set.
    method : str
        The method that the others are compared with.

    Returns
    -------
    list of Table
        The main table first.
    """
    results = [result for one in judged for result in one.results]
    kinds = {one.task_set.name: one.task_set.kind for one in judged}
    named = {"main": summary_table(results, paper=read_paper_results())}
    if "binary" in kinds.values():
        named["average-precision"] = summary_table(results, metric="average_precision")
        named["shares"] = shares_table(results)
    certainty = [each for one in judged for each in one.certainty]
    if certainty:
        named["uncertainty"] = certainty_table(certainty)
    for one in judged:
        name = one.task_set.name
        if kinds[name] == "regression":
            named[f"endpoints-{name}"] = endpoint_table(one.results)
        if is_scored(one.results, method):
            named[f"compared-{name}"] = comparison_table(one.results, method)
        for modality, measured in one.measured.items():
            named[f"measured-{modality}-{name}"] = summary_table(measured)
        (folder / name).mkdir(parents=True, exist_ok=True)
        replace_text(folder / name / "per_task.csv", per_task_csv(one.results))
        replace_text(folder / name / "split.csv", _split_csv(one))
    (folder / TABLES).mkdir(parents=True, exist_ok=True)
    for stem, table in named.items():
        write_table(table, folder / TABLES, stem)
    return list(named.values())


def is_scored(results: Sequence[MethodResult], method: str) -> bool:
    """Whether there is a score of a method on any task."""
    found = next((result for result in results if result.method == method), None)
    return found is not None and found.scores is not None and bool(found.scores.scored.any())


def _split_csv(judged: Judged) -> str:
    part = pd.Series("", index=range(len(judged.task_set.smiles)), dtype=object)
    for name in ("train", "valid", "test"):
        part[getattr(judged.split, name)] = name
    table = pd.DataFrame({"smiles": judged.task_set.smiles, "split": part})
    return table.to_csv(index=False)
