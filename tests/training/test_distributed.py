"""Several processes: two real ones over gloo against one, what they agree on, and what a lost one costs."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from infoalign_dgl.errors import RunError
from infoalign_dgl.models import InfoAlign
from infoalign_dgl.representation import load
from infoalign_dgl.training import PretrainConfig, pretrain, step
from infoalign_dgl.training.checkpoint import saved_steps
from infoalign_dgl.training.distributed import ALONE, World, lock
from infoalign_dgl.training.gradient_sums import GradientSums
from infoalign_dgl.training.run_folder import read_config

RANKS = Path(__file__).with_name("ranks.py")
LAUNCH = """
import sys
from infoalign_dgl.training.launch import launch
sys.exit(launch(sys.argv[3:], int(sys.argv[1]), max_restarts=int(sys.argv[2])))
"""


def launched(*arguments, processes=2, max_restarts=0, **environment):
    """Start processes as ``pretrain --nproc`` does, and return the launcher."""
    command = [sys.executable, "-c", LAUNCH, str(processes), str(max_restarts), *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def ended(launcher):
    """Exit code, standard output and standard error of what was launched."""
    try:
        out, error = launcher.communicate(timeout=300)
    finally:
        launcher.kill()
    return launcher.returncode, out, error


def read(path):
    return torch.load(path, weights_only=False)  # of our own processes


def weights(run, step):
    return load_file(run / "checkpoints" / f"step-{step}" / "model.safetensors")


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def ranks():
    """The module that the processes run; here a process of its own is a world of one."""
    spec = importlib.util.spec_from_file_location("ranks", RANKS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def found(folder):
    """What each of two processes found, in one launch."""
    code, _, error = ended(launched(RANKS, "checks", folder))
    assert code == 0, error
    return [read(folder / f"checks-{rank}.pt") for rank in range(2)]


@given(st.integers(0, 10_000), st.integers(1, 64))
def test_shares_are_disjoint_cover_everything_and_differ_by_one(count, size):
    shares = [np.arange(count)[World(rank, size).share(count)] for rank in range(size)]
    assert np.array_equal(np.concatenate(shares), np.arange(count))
    sizes = [len(share) for share in shares]
    assert sizes == World(0, size).share_sizes(count)
    assert max(sizes) - min(sizes) <= 1


def test_a_world_of_one_exchanges_nothing():
    values = torch.ones(3)
    assert ALONE.add_up(values) is values
    assert ALONE.from_first(lambda: 7) == 7
    with ALONE.one_per_machine_first():
        ALONE.copy_first([values])
    assert not torch.distributed.is_initialized()


def test_who_is_who(found):
    assert [one["world"]["rank"] for one in found] == [0, 1]
    assert [one["world"]["local_rank"] for one in found] == [0, 1]
    assert all((one["world"]["size"], one["world"]["local_size"]) == (2, 2) for one in found)


@pytest.mark.parametrize("case", range(5))
def test_gradients_are_those_of_one_process(ranks, found, graph, case):
    """BatchNorm in eval mode, no noise: losses and gradients of the whole batch, in both processes."""
    settings = {**ranks.GRADIENT_CASES[case], "micro_batch": None}
    alone = ranks.gradients(graph, ALONE, **settings)
    largest = max(gradient.abs().max() for gradient in alone["gradients"].values())
    assert largest > 0.01
    for one in found:
        two = one["gradients"][case]
        torch.testing.assert_close(two["losses"], alone["losses"], rtol=1e-5, atol=1e-6)
        for name, gradient in alone["gradients"].items():
            assert (two["gradients"][name] - gradient).abs().max() < 1e-6 * largest, name
    first, second = (one["gradients"][case]["gradients"] for one in found)
    assert same(first, second)


@pytest.mark.parametrize("case", range(3))
def test_synchronized_batchnorm_sees_the_whole_batch(ranks, found, graph, case):
    """In training mode, with shares of 8 and 9 molecules: gradients and running moments of one process."""
    alone = ranks.gradients(graph, ALONE, training=True, **ranks.SYNC_CASES[case])
    largest = max(gradient.abs().max() for gradient in alone["gradients"].values())
    for one in found:
        two = one["synchronized"][case]
        torch.testing.assert_close(two["losses"], alone["losses"], rtol=1e-5, atol=1e-6)
        for name, gradient in alone["gradients"].items():
            assert (two["gradients"][name] - gradient).abs().max() < 1e-5 * largest, name
        for name, buffer in alone["buffers"].items():
            torch.testing.assert_close(two["buffers"][name], buffer, rtol=1e-5, atol=1e-6)
    moved = [name for name in alone["buffers"] if name.endswith("running_mean")]
    assert all(alone["buffers"][name].abs().max() > 0 for name in moved)


def test_shares_of_molecules_and_walks_that_do_not_know_of_ranks(ranks, found, graph):
    """Put together, the processes' batches are those of one process, target by target."""
    for whole, first, second in zip(
        ranks.drawn(graph, ALONE), found[0]["drawn"], found[1]["drawn"], strict=True
    ):
        assert np.array_equal(whole[0], np.concatenate([first[0], second[0]]))
        assert set(first[0]).isdisjoint(second[0])
        assert abs(len(first[0]) - len(second[0])) <= 1
        for name, (molecule, *values) in whole[1].items():
            moved = second[1][name][0] + len(first[0])
            assert torch.equal(molecule, torch.cat([first[1][name][0], moved]))
            for i, value in enumerate(values, start=1):
                assert torch.equal(value, torch.cat([first[1][name][i], second[1][name][i]]))


def test_weights_stay_the_same_in_all_processes(found):
    """Noise and BatchNorm differ by process; gradients are summed, so that updates do not."""
    first, second = (one["after_steps"] for one in found)
    assert same(first["weights"], second["weights"])
    for one, other in zip(first["reports"], second["reports"], strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
        assert one[2:] == other[2:]


def test_the_first_process_writes_and_speaks(ranks, found, folder, graph, tmp_path):
    first, second = (one["whole"] for one in found)
    assert first["written"]
    assert second["written"] == []
    assert "2 processes share each step, with up to 9 molecules each" in first["said"]
    assert second["said"] == ""
    assert first["ended"]["steps"] == second["ended"]["steps"] == 10
    assert first["ended"]["validation"] == second["ended"]["validation"]
    assert read_config(folder / "whole").processes == 2
    assert np.isfinite(load(folder / "whole").embed(["CCO"])).all()
    alone = ranks.run(graph, tmp_path / "alone")
    assert alone["ended"]["steps"] == 10
    counted = ("step", "epoch", "molecules", "lr", *(f"targets/{name}" for name in graph.spaces))
    for line, expected in zip(lines(folder / "whole"), lines(tmp_path / "alone"), strict=True):
        assert [line[name] for name in counted] == [expected[name] for name in counted]
        assert line["loss"] == pytest.approx(expected["loss"], rel=0.2)


def test_too_few_molecules_for_the_processes(found, folder):
    first, second = (one["too_few"]["ended"]["error"] for one in found)
    assert first.startswith("RunError: an epoch has a step of 3 molecules, which leaves some of 2 processes")
    assert second.startswith("ElsewhereError")
    assert not (folder / "too_few").exists()


def test_a_loss_that_is_not_finite_stops_all(found, folder):
    """The molecules are those of the process that had them."""
    first, second = (one["nan"]["ended"]["error"] for one in found)
    assert "the loss of feature space 'dyes' is not finite at step 3, on 9 molecules (" in first
    assert "the weights of step 2 are saved" in first
    assert second.startswith("ElsewhereError")
    stored = json.loads((folder / "nan" / "failed-step-3.json").read_text())
    assert [molecule["id"] for molecule in stored["molecules"]] == found[1]["drawn"][2][0].tolist()
    assert saved_steps(folder / "nan") == [2]


def test_memory_that_runs_out_in_one_process(found, folder):
    """All go on with micro-batches of half the size, which is as if they had been given it."""
    first, second = (one["memory"] for one in found)
    assert first["ended"]["steps"] == second["ended"]["steps"] == 10
    assert first["said"].count("out of memory at step 1 with 8 molecules at a time") == 1
    assert first["sizes"][:5] == [4, 4, 2, 3, 3]
    assert second["sizes"][:5] == [4, 5, 3, 3, 3]
    assert read_config(folder / "memory").pretrain.micro_batch == 4
    assert same(weights(folder / "memory", 10), weights(folder / "given", 10))


def test_memory_that_holds_nothing(found):
    first, second = (one["no_memory"]["ended"]["error"] for one in found)
    assert "memory runs out at step 1 even with 2 molecules at a time (in another process)" in first
    assert second.startswith("ElsewhereError")


def test_a_signal_to_one_process_stops_all(found, folder):
    """They stop after the same step, and go on bit for bit."""
    first, second = (one["told"]["ended"] for one in found)
    assert (
        (first["steps"], first["interrupted"]) == (second["steps"], second["interrupted"]) == (2, "SIGTERM")
    )
    assert "go on with: infoalign-dgl pretrain GRAPH" in found[0]["told"]["said"]
    assert "--resume --nproc 2" in found[0]["told"]["said"]
    assert found[0]["resumed"]["ended"]["steps"] == 10
    assert same(weights(folder / "told", 10), weights(folder / "whole", 10))
    assert [line["loss"] for line in lines(folder / "told")] == [
        line["loss"] for line in lines(folder / "whole")
    ]


def test_micro_batches_of_synchronized_batchnorm(found, folder):
    """Every process cuts its share into as many parts, or they would wait for each other."""
    assert found[0]["synchronized_run"]["ended"]["steps"] == 10
    assert {line["micro_batches"] for line in lines(folder / "synchronized")} == {2}
    assert read_config(folder / "synchronized").pretrain.sync_batchnorm


def test_memory_that_runs_out_within_synchronized_batchnorm(ranks, graph, monkeypatch):
    """The others wait for moments and can agree on nothing: this process ends without an exchange."""
    trainer, data = ranks.make_trainer(graph, ALONE, sync_batchnorm=True)
    trainer.sums = GradientSums(trainer.model.parameters())

    def none(*_args, **_kwargs):
        raise MemoryError

    monkeypatch.setattr(InfoAlign, "encode", none)
    with pytest.raises(
        RunError, match=r"ran out in process 0 with 17 molecules .* --resume --micro-batch 8$"
    ):
        step.summed_gradients(trainer, 0, ranks.batches(data, ALONE))


def test_a_lost_process_ends_the_run_with_what_was_done(found, folder, tmp_path, graph, quiet):
    """The first one is killed within step 7: the other saves step 6, and one alone goes on from it."""
    code, _, error = ended(launched(RANKS, "lost", tmp_path, KILLED="0"))
    assert code == 128 + signal.SIGKILL
    assert "terminate" not in error
    survivor = read(tmp_path / "lost-0-1.pt")
    assert "lost after step 6 of 10: step 6 is saved; go on with: infoalign-dgl" in survivor["ended"]["error"]
    assert survivor["saved"] == [4, 6]
    run = tmp_path / "run"
    assert np.isfinite(load(run).embed(["CCO"])).all()
    result = pretrain(graph, run, read_config(run).pretrain, resume=True, console=quiet)
    assert result.steps == 10
    assert [line["step"] for line in lines(run)] == list(range(1, 11))
    assert [line["loss"] for line in lines(run)[:5]] == [line["loss"] for line in lines(folder / "whole")[:5]]
    assert read_config(run).processes == 1


def test_processes_that_are_started_again_go_on_by_themselves(found, folder, tmp_path):
    """The other one is killed within step 7; the end is bit for bit that of a run that was not broken."""
    code, _, error = ended(launched(RANKS, "lost", tmp_path, max_restarts=1, KILLED="1"))
    assert code == 0, error
    assert read(tmp_path / "lost-0-0.pt")["saved"] == [4, 6]
    again = read(tmp_path / "lost-1-0.pt")
    assert "resuming after step 6 of 10" in again["said"]
    assert same(weights(tmp_path / "run", 10), weights(folder / "whole", 10))


def test_the_command_starts_processes(graph, tmp_path):
    graph.save(tmp_path / "graph")
    graph.folder = None
    options = (
        "--batch-size 16 --hidden 16 --layers 2 --max-steps 4 --holdout 0.1 --device cpu --sync-batchnorm"
    )
    command = [sys.executable, "-W", "ignore", "-m", "infoalign_dgl.cli", "pretrain"]
    command += [str(tmp_path / "graph"), "-o", str(tmp_path / "run"), "--nproc", "2", *options.split()]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Wrote ") == 1
    assert [line["step"] for line in lines(tmp_path / "run")] == [1, 2, 3, 4]
    stored = read_config(tmp_path / "run")
    assert stored.processes == 2
    assert stored.pretrain == PretrainConfig(
        batch_size=16, hidden=16, layers=2, max_steps=4, holdout=0.1, device="cpu", sync_batchnorm=True
    )
    assert np.isfinite(load(tmp_path / "run").embed(["CCO", "c1ccccc1O"])).all()


WAITS = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(sys.argv[2])))
Path(sys.argv[1], str(__import__("os").getpid())).touch()
time.sleep(200)
"""


@pytest.mark.parametrize("code", [0, 3])
def test_signals_reach_the_processes_and_their_exit_codes_come_back(tmp_path, code):
    (tmp_path / "started").mkdir()
    (tmp_path / "waits.py").write_text(WAITS)
    launcher = launched(tmp_path / "waits.py", tmp_path / "started", code)
    deadline = time.monotonic() + 100
    while len(list((tmp_path / "started").iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    launcher.send_signal(signal.SIGTERM)
    assert ended(launcher)[0] == code


def test_a_lock_is_one_processes(tmp_path):
    with lock(tmp_path) as mine, lock(tmp_path) as again:
        assert (mine, again) == (True, False)
    with lock(tmp_path) as later:
        assert later
