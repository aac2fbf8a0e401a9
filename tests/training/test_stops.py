"""Runs that are stopped (signals, the time limit, a full disk) and go on as if they had not been."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import sys

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from infoalign_dgl.errors import InfoAlignError, RunError
from infoalign_dgl.training import loop, pretrain
from infoalign_dgl.training.checkpoint import checkpoint_folder, saved_steps
from infoalign_dgl.training.interrupts import StopRequest
from infoalign_dgl.training.run_folder import read_config


def weights(run, step):
    return load_file(checkpoint_folder(run, step) / "model.safetensors")


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def lines(run):
    timing = ("molecules_per_second", "peak_memory_bytes")
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in timing} for line in found]


@pytest.fixture(scope="module")
def settings():
    return {"max_steps": 6, "checkpoint_every": 4, "sampling": "measured=0.5"}


@pytest.fixture(scope="module")
def whole(graph, settings, tmp_path_factory):
    """An uninterrupted run of 6 steps."""
    from infoalign_dgl.training import PretrainConfig

    small = {"batch_size": 16, "hidden": 16, "layers": 2, "lr": 1e-3, "device": "cpu", "holdout": 0.1}
    run = tmp_path_factory.mktemp("whole") / "run"
    pretrain(graph, run, PretrainConfig(epochs=2, **small, **settings), console=Console(quiet=True))
    return run


@pytest.fixture
def after_step(monkeypatch):
    """Do something after a step (1 is the first)."""

    def set_up(number, action):
        take_step = loop.take_step

        def then(trainer, step, batch):
            report = take_step(trainer, step, batch)
            if report.step == number:
                action()
            return report

        monkeypatch.setattr(loop, "take_step", then)

    return set_up


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals(graph, make_config, settings, whole, tmp_path, quiet, after_step, number):
    """Saved after the step at hand, without a validation; how to go on is a command."""
    run, text, handler = tmp_path / "a run", io.StringIO(), signal.getsignal(number)
    after_step(3, lambda: os.kill(os.getpid(), number))
    result = pretrain(graph, run, make_config(**settings), console=Console(file=text, width=80))
    assert (result.steps, result.total_steps, result.interrupted) == (3, 6, number.name)
    assert result.validation == {}
    assert saved_steps(run) == [3]
    assert text.getvalue().splitlines()[-1] == (
        f"stopped by {number.name} after step 3 of 6, which is saved; go on with: infoalign-dgl pretrain "
        f"GRAPH -o '{run}' --resume"
    )
    assert signal.getsignal(number) is handler
    again = pretrain(graph, run, make_config(**settings), resume=True, console=quiet)
    assert again.interrupted is None
    assert same(weights(run, 6), weights(whole, 6))
    assert lines(run) == lines(whole)
    assert (run / "checkpoints/best").read_text() == (whole / "checkpoints/best").read_text()


def test_a_signal_in_the_last_step_stops_nothing(graph, make_config, settings, whole, tmp_path, after_step):
    text = io.StringIO()
    after_step(6, lambda: os.kill(os.getpid(), signal.SIGTERM))
    result = pretrain(graph, tmp_path / "run", make_config(**settings), console=Console(file=text, width=80))
    assert result.interrupted is None
    assert result.validation
    assert "stopped" not in text.getvalue()
    assert lines(tmp_path / "run") == lines(whole)


def test_time_limit(graph, make_config, settings, whole, tmp_path):
    """Each call does one step and stops; the last one is not stopped, since nothing is left."""
    config, reasons, said = make_config(**settings, max_minutes=1e-9), [], io.StringIO()
    for call in range(6):
        result = pretrain(
            graph, tmp_path / "run", config, resume=call > 0, console=Console(file=said, width=80)
        )
        reasons.append((result.steps, result.interrupted))
    assert reasons == [*((step, "the time limit") for step in range(1, 6)), (6, None)]
    assert "stopped by the time limit after step 1 of 6, which is saved; go on with" in said.getvalue()
    assert same(weights(tmp_path / "run", 6), weights(whole, 6))
    assert lines(tmp_path / "run") == lines(whole)


def test_a_run_stops_after_the_step_it_is_to_and_goes_on_from_it(
    graph, make_config, settings, whole, tmp_path
):
    config, said = make_config(**settings, stop_after=3), io.StringIO()
    console = Console(file=said, width=80)
    stopped = pretrain(graph, tmp_path / "run", config, console=console)
    assert (stopped.steps, stopped.total_steps, stopped.interrupted) == (3, 6, "stop_after")
    assert "stopped after step 3 of 6, as it was to" in said.getvalue()
    assert pretrain(graph, tmp_path / "run", config, resume=True, console=console).interrupted is None
    assert same(weights(tmp_path / "run", 6), weights(whole, 6))
    assert lines(tmp_path / "run") == lines(whole)


def test_a_stop_request(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with StopRequest(deadline=107.0) as stop:
        assert stop.reason is None
        now = 107.0
        assert stop.reason == "the time limit"
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.reason == "SIGTERM"
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # a second one acts as usual
    with StopRequest() as stop:
        assert stop.reason is None


@pytest.fixture
def files_may_grow_to():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_save_that_finds_no_room(
    graph, make_config, settings, whole, tmp_path, quiet, after_step, files_may_grow_to, monkeypatch
):
    """One sentence, the checkpoint before is whole, and with room again the run goes on."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    run, config = tmp_path / "run", make_config(**settings)
    after_step(6, lambda: files_may_grow_to(20_000))
    with pytest.raises(
        InfoAlignError, match=r"^could not write '.*/step-6': File too large; nothing was changed"
    ):
        pretrain(graph, run, config, console=quiet)
    files_may_grow_to(resource.RLIM_INFINITY)
    monkeypatch.undo()
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["best", "last", "step-4"]
    assert checkpoint_folder(run).name == "step-4"
    pretrain(graph, run, config, resume=True, console=quiet)
    assert same(weights(run, 6), weights(whole, 6))
    assert lines(run) == lines(whole)


def test_a_line_that_finds_no_room(
    graph, make_config, settings, whole, tmp_path, quiet, after_step, files_may_grow_to, monkeypatch
):
    """The line is torn; nothing of it is left after going on."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    run, config = tmp_path / "run", make_config(**settings)
    after_step(2, lambda: files_may_grow_to((run / "metrics.jsonl").stat().st_size + 10))
    with pytest.raises(
        RunError, match=r"^could not write '.*metrics\.jsonl': File too large; make room, and go"
    ):
        pretrain(graph, run, config, console=quiet)
    files_may_grow_to(resource.RLIM_INFINITY)
    monkeypatch.undo()
    assert not (run / "metrics.jsonl").read_bytes().endswith(b"\n")
    pretrain(graph, run, config, resume=True, console=quiet)
    assert lines(run) == lines(whole)


def test_a_damaged_checkpoint_is_skipped(graph, make_config, settings, whole, tmp_path):
    run, said = tmp_path / "run", io.StringIO()
    pretrain(graph, run, make_config(**{**settings, "checkpoint_every": 2}), console=Console(quiet=True))
    broken = run / "checkpoints/step-6/training.pt"
    broken.write_bytes(broken.read_bytes()[:-100])
    every_two = make_config(**{**settings, "checkpoint_every": 2})
    pretrain(graph, run, every_two, resume=True, console=Console(file=said, width=80))
    assert "skipped a checkpoint: '" in said.getvalue()
    assert "step-6/training.pt' is damaged" in said.getvalue()
    assert "resuming after step 4 of 6" in said.getvalue()
    assert same(weights(run, 6), weights(whole, 6))
    assert [line["step"] for line in lines(run)] == [1, 2, 3, 4, 5, 6]


def test_a_start_that_was_cut_off_is_no_run(graph, make_config, tmp_path, quiet):
    """Killed before config.json: a new run may take the folder, and there is nothing to resume."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "spaces.json").write_text("{}")
    (run / ".molecules.txt.partial").write_text("AAAA")
    with pytest.raises(RunError, match="there is no run to resume: leave --resume out"):
        pretrain(graph, run, make_config(max_steps=1), resume=True, console=quiet)
    pretrain(graph, run, make_config(max_steps=1), console=quiet)
    assert len(json.loads((run / "spaces.json").read_text())) == 5
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty"):
        pretrain(graph, tmp_path / "other", make_config(max_steps=1), console=quiet)


def test_how_much_is_kept_may_change(graph, make_config, settings, tmp_path, quiet):
    run = tmp_path / "run"
    every = {**settings, "checkpoint_every": 1, "holdout": 0.0}
    pretrain(graph, run, make_config(**{**every, "max_steps": 4}, keep=3), console=quiet)
    assert saved_steps(run) == [2, 3, 4]
    pretrain(graph, run, make_config(**every, keep=1), resume=True, console=quiet)
    assert saved_steps(run) == [6]
    assert read_config(run).pretrain.keep == 1
