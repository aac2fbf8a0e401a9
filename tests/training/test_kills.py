"""A run killed with SIGKILL anywhere goes on to the same weights, bit for bit; what it left is readable."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
BARRIERS = [
    "prepared",
    "before the step",
    "forward",
    "backward",
    "before the update",
    "half an update",
    "after the update",
    "after the step",
    "after its line",
]


@pytest.fixture(scope="module")
def kill(tmp_path_factory):
    """Run a job in a process that has imported everything, see kill_driver.py."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("no C compiler: set CC to one")
    library = tmp_path_factory.mktemp("preload") / "kill_at.so"
    subprocess.run(
        [compiler, "-O1", "-shared", "-fPIC", "-o", library, HERE / "kill_at.c", "-ldl"], check=True
    )
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", HERE / "kill_driver.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"},
    ) as driver:

        def ask(run, **job):
            driver.stdin.write(json.dumps({"run": str(run), **job}) + "\n")
            driver.stdin.flush()
            return json.loads(driver.stdout.readline())

        yield ask
        driver.stdin.close()


@pytest.fixture(scope="module")
def whole(kill, tmp_path_factory):
    """A run that nobody killed, and the calls that changed its folder."""
    run = tmp_path_factory.mktemp("whole") / "run"
    found = kill(run)
    assert found["status"] == 0, found["said"]
    return run, [tuple(call.split(" ", 1)) for call in found["said"][1]]


def plain(path):
    """Without the random part of temporary names."""
    return re.sub(r"(\.partial-|/\.tmp)\w+", r"\1", path)


def moments(calls):
    """One number per different call in a row; of many writes to one file the first and a middle one."""
    chosen = []
    numbered = enumerate(((call, plain(path)) for call, path in calls), start=1)
    for _, group in groupby(numbered, key=lambda entry: entry[1]):
        numbers = [number for number, _ in group]
        chosen += [numbers[0], numbers[len(numbers) // 2]] if len(numbers) > 2 else numbers
    return chosen


def comparable(path):
    """What a training.pt says; how it is pickled depends on which of its equal strings are one object."""
    state = torch.load(path, weights_only=True)
    optimizer = state.pop("optimizer")
    moments = {
        f"{number}/{name}": value.tolist()
        for number, values in optimizer["state"].items()
        for name, value in values.items()
    }
    return {**state, "groups": optimizer["param_groups"], "moments": moments}


def outcome(run):
    """Everything in a run folder that must not depend on kills; of the log, all but the timing."""
    folder = run / "checkpoints"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {
        "names": sorted(path.name for path in [*run.iterdir(), *folder.iterdir()]),
        "weights": {path.parent.name: path.read_bytes() for path in folder.glob("*/model.safetensors")},
        "training": {path.parent.name: comparable(path) for path in folder.glob("*/training.pt")},
        "best": (folder / "best").read_text(),
        "last": (folder / "last").read_text(),
        "config": (run / "config.json").read_text(),
        "lines": [
            {k: v for k, v in line.items() if k not in ("molecules_per_second", "peak_memory_bytes")}
            for line in lines
        ],
    }


def check(kill, whole, tmp_path, **job):
    found = kill(tmp_path / "run", **job)
    assert found["status"] == -signal.SIGKILL, found["said"]
    if found["steps"]:
        assert found["loaded"] in [f"step-{step}" for step in found["steps"]]
    else:
        assert re.search("has no checkpoint yet|is no run", found["loaded"])
    assert found["resumed"] == 0, found["said"]
    assert "skipped a checkpoint" not in found["said"][0]
    assert outcome(tmp_path / "run") == outcome(whole[0])
    return found


def test_killed_at_calls_that_change_the_folder(kill, whole, tmp_path):
    """Before each create, write (half of it done), fsync, rename, unlink of the last save; before others."""
    _, calls = whole
    every = moments(calls)
    last_save = max(number for number, call in enumerate(calls, 1) if call == ("mkdir", "/checkpoints"))
    earlier = [number for number in every if number < last_save]
    chosen = [*earlier[:: len(earlier) // 8], *(number for number in every if number >= last_save)]
    kinds = {calls[number - 1][0] for number in chosen}
    assert {"create", "write", "fsync", "rename", "unlink", "mkdir", "rmdir"} <= kinds
    assert len(chosen) >= 20
    for number in chosen:
        folder = tmp_path / f"{number}-{calls[number - 1][0]}"
        check(kill, whole, folder, call=number)
        shutil.rmtree(folder)


@pytest.mark.slow
def test_killed_at_every_call_that_changes_the_folder(kill, whole, tmp_path):
    _, calls = whole
    for number in moments(calls):
        check(kill, whole, tmp_path / f"{number}-{calls[number - 1][0]}", call=number)


@pytest.mark.parametrize("barrier", BARRIERS)
def test_killed_within_a_step(kill, whole, tmp_path, barrier):
    """In the fourth step, where the checkpoint of the second is what is left."""
    found = check(kill, whole, tmp_path, barrier=barrier, step=3)
    assert found["steps"] == [2]
    assert "resuming after step 2 of 6" in found["said"][0]


def test_killed_again_and_again(kill, whole, tmp_path):
    """Kills while resuming, too: each attempt gets a little further, the last one to the end."""
    run = tmp_path / "run"
    for call in (30, 40, 90, 20, 110, 60):
        status = kill(run, call=call, resume=(run / "config.json").exists(), then_resume=False)["status"]
        assert status == -signal.SIGKILL
    assert kill(run, resume=True)["status"] == 0
    assert outcome(run) == outcome(whole[0])


def test_nothing_is_named_before_it_is_on_the_disk(whole):
    """SIGKILL keeps what the system has yet to write; a power cut does not, so the order of calls counts."""
    run, calls = whole
    calls = [(call, plain(path)) for call, path in calls]
    for step in (2, 4, 6):
        partial = f"/checkpoints/.step-{step}.partial-"
        named = calls.index(("rename", f"/checkpoints/step-{step}"))
        here = {call: number for number, call in enumerate(calls[:named])}  # the last of each before the name
        sums = here["create", f"{partial}/SHA256SUMS"]
        assert here["write", f"{partial}/.tmp"] < here["fsync", f"{partial}/model.safetensors"] < sums
        assert here["write", f"{partial}/training.pt"] < here["fsync", f"{partial}/training.pt"] < sums
        assert sums < here["write", f"{partial}/SHA256SUMS"] < here["fsync", f"{partial}/SHA256SUMS"]
        assert here["fsync", f"{partial}/SHA256SUMS"] < here["fsync", partial] == named - 1
        assert here["write", "/metrics.jsonl"] < here["fsync", "/metrics.jsonl"] < sums
        assert calls[named + 1] == ("fsync", "/checkpoints")
        last = calls.index(("rename", "/checkpoints/last"), named)
        assert calls[last - 1] == ("fsync", "/checkpoints/.last.partial")
        assert calls[last + 1] == ("fsync", "/checkpoints")
        dropped = [i for i, (call, path) in enumerate(calls) if call == "rename" and "removed" in path]
        assert all(last < number for number in dropped if number > named)
    assert [line["step"] for line in outcome(run)["lines"]] == [1, 2, 3, 4, 5, 6]


def test_what_is_compared_would_show_a_difference(whole):
    """The run has what the comparison rests on: moments, a best checkpoint, all that metrics promise."""
    run, _ = whole
    found = outcome(run)
    state = torch.load(run / "checkpoints/step-6/training.pt", weights_only=True)
    assert all(
        moment["exp_avg"].any() for moment in state["optimizer"]["state"].values() if "exp_avg" in moment
    )
    assert found["best"] != found["last"] == "step-6\n"
    assert set(found["weights"]) == {found["best"].strip(), "step-6"}
    promised = {"step", "epoch", "molecules_per_second", "loss", "kl", "lr", "peak_memory_bytes"}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        assert promised < set(json.loads(line))
