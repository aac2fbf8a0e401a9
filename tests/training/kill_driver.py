"""Kills pretraining runs and resumes them, each in a child forked from this process, which imports once.

Reads one JSON object per line: the run folder, and either ``call`` (die at the n-th call that changes the
folder) or ``barrier`` and ``step`` (die at a place within that step), or neither. Unless told otherwise, it
starts a run and, if that died, looks at what it left and resumes it. Answers with one JSON object.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib.util
import io
import json
import os
import signal
import sys
import traceback
from pathlib import Path

import torch
import torch.utils.tensorboard
from rich.console import Console

from infoalign_dgl.errors import InfoAlignError
from infoalign_dgl.representation import load
from infoalign_dgl.training import PretrainConfig, loop, step, step_log
from infoalign_dgl.training.checkpoint import saved_steps
from infoalign_dgl.training.targets import BatchBuilder

CONFIG = PretrainConfig(
    batch_size=16,
    hidden=16,
    layers=2,
    lr=1e-3,
    device="cpu",
    holdout=0.1,
    max_steps=6,
    sampling="measured=0.5",
    checkpoint_every=2,
    keep=1,
)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def around(owner, name, *, before=None, after=None):
    """Call ``before`` or ``after`` with the arguments of a function whenever it is called."""
    inner = getattr(owner, name)

    def outer(*args, **kwargs):
        if before is not None:
            before(*args, **kwargs)
        result = inner(*args, **kwargs)
        if after is not None:
            after(*args, **kwargs)
        return result

    setattr(owner, name, outer)


def set_barrier(name, at):
    """Die at a place of step ``at`` (0 is the first), counting calls, since there is one part per step."""
    calls = []

    def counted(*_args, **_kwargs):
        calls.append(None)
        if len(calls) == at + 1:
            die()

    owner, function, when = {
        "prepared": (BatchBuilder, "prepare", "after"),
        "before the step": (loop, "take_step", "before"),
        "forward": (step, "part_loss", "after"),
        "backward": (step, "gradient_norms", "before"),
        "before the update": (torch.optim.Adam, "step", "before"),
        "half an update": (torch.optim.Adam, "_init_group", "after"),  # after the moments, before the weights
        "after the update": (torch.optim.Adam, "step", "after"),
        "after the step": (loop, "take_step", "after"),
        "after its line": (step_log.StepLog, "read", "after"),
    }[name]
    around(owner, function, **{when: counted})


def in_a_child(work):
    """Run ``work`` in a fork; its exit status (negative: signal) and what it returned."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(200, exit=True)
        try:
            os.write(writing, json.dumps(work()).encode())
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a child must not go on as a second driver
            os.write(writing, json.dumps(traceback.format_exc()).encode())
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as stream:
        text = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), json.loads(text or "null")


def run(graph, folder, job, *, resume):
    """Train until the end or the kill; return what it printed, and the calls that changed the folder."""
    text = io.StringIO()
    if "barrier" in job:
        set_barrier(job["barrier"], job["step"])
    log = os.memfd_create("calls")
    ctypes.CDLL(None).kill_at(os.fsencode(folder), ctypes.c_long(job.get("call", 0)), log)
    loop.pretrain(graph, folder, CONFIG, resume=resume, console=Console(file=text, width=500))
    os.lseek(log, 0, os.SEEK_SET)
    with os.fdopen(log) as stream:
        return text.getvalue(), stream.read().splitlines()


def try_to_load(folder):
    """The checkpoint that a reader finds, or the sentence that says why there is none."""
    try:
        return load(folder, device="cpu").checkpoint.name
    except InfoAlignError as error:
        return str(error)


def answer(graph, job):
    folder = Path(job["run"])
    folder.parent.mkdir(exist_ok=True)
    status, said = in_a_child(lambda: run(graph, folder, job, resume=job.get("resume", False)))
    found = {"status": status, "said": said}
    if status and job.get("then_resume", True):
        _, found["loaded"] = in_a_child(lambda: try_to_load(folder))
        found["steps"] = saved_steps(folder)
        resume = (folder / "config.json").exists()
        found["resumed"], found["said"] = in_a_child(lambda: run(graph, folder, {}, resume=resume))
    return found


def main():
    torch.set_num_threads(1)
    spec = importlib.util.spec_from_file_location("tiny", Path(__file__).with_name("conftest.py"))
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    graph = tiny.make_graph()
    torch.optim.Adam([torch.zeros(1)])  # imports seconds' worth of torch, once instead of in every child
    for line in sys.stdin:
        print(json.dumps(answer(graph, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
