"""Progress: how far a stage is and how long it takes still, on a terminal and in a file."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from infoalign_dgl.cli import embed, predict
from infoalign_dgl.cli._output import StageProgress, print_table


class Clock:
    now = 50.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock():
    return Clock()


def run(progress, clock):
    progress("trees", 0, 4)
    for done in range(1, 5):
        clock.now += 30
        progress("trees", done, 4)
    progress("heads", 0, 0)  # of which nobody knows how many
    clock.now += 2
    progress.close()
    progress.close()


def test_in_a_file_each_stage_is_one_line_with_its_seconds(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", shown := io.StringIO())
    run(StageProgress(clock=clock), clock)
    assert shown.getvalue() == "trees: 4 in 120.0 s\nheads: 2.0 s\n"


def test_in_a_file_each_line_ends_with_how_far_everything_is(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", shown := io.StringIO())
    run(StageProgress(lambda left: f"all {left}", clock), clock)
    assert shown.getvalue() == "trees: 4 in 120.0 s | all None\nheads: 2.0 s | all None\n"


def test_on_a_terminal_a_line_tells_the_time_left_once_something_was_done(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    monkeypatch.setenv("COLUMNS", "200")
    run(StageProgress(lambda left: f"all {left}", clock), clock)
    lines = shown.getvalue().split("\r\x1b[K")[1:]
    assert lines[0] == "trees: 0 of 4 in 0:00:00 | all None"
    assert lines[1] == "trees: 1 of 4 in 0:00:30, 0:01:30 left | all 90.0"
    assert lines[3] == "trees: 3 of 4 in 0:01:30, 0:00:30 left | all 30.0"
    assert lines[-1] == "heads: 2.0 s | all None\n"


def test_items_that_were_done_before_do_not_count_as_quick(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    monkeypatch.setenv("COLUMNS", "200")
    progress = StageProgress(clock=clock)
    progress("rows", 90, 100)
    clock.now += 10
    progress("rows", 95, 100)
    assert shown.getvalue().endswith("rows: 95 of 100 in 0:00:10, 0:00:10 left")


def test_a_line_never_wraps(clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", shown := Terminal())
    monkeypatch.setenv("COLUMNS", "30")
    StageProgress(lambda _left: "x" * 100, clock)("trees", 0, 4)
    assert len(shown.getvalue().removeprefix("\r\x1b[K")) == 29


def test_tables_show_text_as_it_is(capsys):
    print_table("of [b]plate[/b]", ["structure", "key"], [("c1cc[nH]c1", "a:b:c"), ("C[/b]", "[se]")])
    title, header, *rows = capsys.readouterr().out.splitlines()
    assert title == "of [b]plate[/b]"
    assert header.split() == ["structure", "key"]
    assert [row.split() for row in rows if row] == [["c1cc[nH]c1", "a:b:c"], ["C[/b]", "[se]"]]


@pytest.mark.parametrize(("failed", "said"), [(1, "1 molecule could"), (2_000, "2,000 molecules could")])
@pytest.mark.parametrize(
    ("command", "function"),
    [
        (embed.command, "infoalign_dgl.representation.embed_table"),
        (predict.command, "infoalign_dgl.evaluation.prediction_table.predict_table"),
    ],
)
def test_molecules_without_a_result_are_counted(monkeypatch, command, function, failed, said):
    found = SimpleNamespace(rows=3_000, dimensions=64, tasks=2, failed=failed, untrained=0, uncalibrated=0)
    monkeypatch.setattr(function, lambda *_, **__: found)
    shown = CliRunner().invoke(command, ["run", "table.csv", "-o", "out.parquet"])
    assert shown.exit_code == 0, shown.output
    assert f"\n{said} not be read; the column 'error' says why." in shown.output
