"""The rows of a sweep: what each run scored, as a table and as means over seeds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from infoalign_dgl._folders import replace_text
from infoalign_dgl.evaluation.statistics import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from infoalign_dgl.evaluation.tasks import Kind

    Value = float | int | str | None
    Changes = dict[str, Any]

TABLE, ROW = "sweep.csv", "row.json"


@dataclass(frozen=True)
class SweepRow:
    """A run that is pretrained and judged.

    Attributes
    ----------
    changes : dict
        What differs from the base.
    seed : int
        Of pretraining.
    scores : dict of str to list of float
        By task set, of each head: the mean over tasks of ROC-AUC or of the absolute error.
    step : int
        Of the checkpoint that is judged: the best one on the molecules held out.
    loss : float or None
        Training loss at that step; None of weights as they were drawn.
    validation : float or None
        Loss less that of column means over all targets of molecules held out, at that step; None without any.
    seconds : float
        Of the steps of pretraining, without validation.
    """

    changes: Changes
    seed: int
    scores: dict[str, list[float]]
    step: int
    loss: float | None
    validation: float | None
    seconds: float


@dataclass(frozen=True)
class Sweep:
    """All rows of a sweep's folder.

    Attributes
    ----------
    base : dict
        Value of every setting in the base.
    kinds : dict of str to {"binary", "regression"}
        Of each task set.
    rows : list of SweepRow
        Ordered by setting and seed, the base first.
    failed : dict of str to str
        Runs of this call that could not be pretrained, and why.
    """

    base: Changes
    kinds: dict[str, Kind]
    rows: list[SweepRow] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def varied(self) -> list[str]:
        """Names of the settings that differ in some row."""
        return list(dict.fromkeys(name for row in self.rows for name in row.changes))

    def by_setting(self) -> list[tuple[Changes, list[SweepRow]]]:
        """Rows of the same setting, which differ in their seeds."""
        found: dict[str, list[SweepRow]] = {}
        for row in self.rows:
            found.setdefault(setting_name(row.changes), []).append(row)
        return [(rows[0].changes, rows) for rows in found.values()]

    def table(self) -> pd.DataFrame:
        """One row a run: its name, varied settings, seed, scores with deviations over heads, and losses."""
        metrics = {name: "roc_auc" if kind == "binary" else "mae" for name, kind in self.kinds.items()}
        found = []
        for row in self.rows:
            cells: dict[str, Any] = {"run": setting_name(row.changes)}
            values = {name: row.changes.get(name, self.base[name]) for name in self.varied}
            cells |= {option_name(name): shown(value) for name, value in values.items()}
            cells["seed"] = row.seed
            for name, metric in metrics.items():
                over_heads = estimate([row], name)
                cells |= {f"{name} {metric}": over_heads.mean, f"{name} std": over_heads.sd}
            cells |= {name: getattr(row, name) for name in ("step", "loss", "validation", "seconds")}
            found.append(cells)
        return pd.DataFrame(found)


def estimate(rows: Sequence[SweepRow], task_set: str) -> Estimate:
    """Mean score of a setting's runs; its deviation is over runs, or over the heads of a single one."""
    means = [float(np.mean(row.scores[task_set])) for row in rows]
    values = means if len(rows) > 1 else rows[0].scores[task_set]
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Estimate(float(np.mean(means)), sd, None, None, len(values))


def option_name(name: str) -> str:
    """Name a setting as the command line does."""
    return name.replace("_", "-")


def shown(value: Value) -> Value:
    """Give a value as tables and figures have it."""
    return "none" if value is None else value


def setting_name(changes: Changes) -> str:
    """Name of a setting, such as ``beta=1e-06``; ``base`` for the base."""
    parts = [f"{option_name(name)}={shown(value)}" for name, value in sorted(changes.items())]
    return ",".join(parts).replace("/", "_") or "base"


def take_rows(found: Sweep, folder: Path) -> Sweep:
    """Read all rows of a sweep's folder, ordered by setting and seed, and write them as its table."""
    rows = [SweepRow(**json.loads(path.read_text())) for path in folder.glob(f"results/*/seed-*/{ROW}")]
    found = replace(found, rows=sorted(rows, key=_order))
    if rows:
        replace_text(folder / TABLE, found.table().to_csv(index=False))
    return found


def _order(row: SweepRow) -> tuple[Any, ...]:
    changes = sorted(row.changes.items())
    names = [name for name, _ in changes]
    values = [
        (0, value, "") if isinstance(value, int | float) else (1, 0, str(value)) for _, value in changes
    ]
    return len(names), names, values, row.seed
