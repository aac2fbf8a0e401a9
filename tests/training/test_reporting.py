"""Metrics that were cut off, and progress outside a terminal."""

from __future__ import annotations

import io

from rich.console import Console

from infoalign_dgl._durations import format_seconds
from infoalign_dgl.training.reporting import ConsoleReport, cut_metrics


def test_cut_metrics_drops_later_and_torn_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"ste')
    cut_metrics(path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
    cut_metrics(tmp_path / "missing.jsonl", 2)


def test_plain_lines():
    text = io.StringIO()
    report = ConsoleReport(Console(file=text, width=40), 3, 0)
    for step in (1, 2, 3):
        report.step(step, {"molecule": 1.0, "morphology": 0.5}, 1234.0)
    report.close()
    assert text.getvalue().splitlines() == [
        "step 3/3  1,234 molecules/s  molecule 1.0000 morphology 0.5000  0:00:00 left"
    ]


def test_live_bar():
    text = io.StringIO()
    report = ConsoleReport(Console(file=text, width=120, force_terminal=True), 2, 1)
    report.step(2, {"gene": 0.25}, 10.0)
    report.close()
    assert "gene 0.2500" in text.getvalue()


def test_format_seconds():
    assert format_seconds(3661.4) == "1:01:01"
