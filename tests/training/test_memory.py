"""Memory of a step: what the system is asked for, by its own count."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc, whose malloc this is about"
)
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

STEPS = """
import resource, sys
import torch
from infoalign_dgl.training.memory import reuse_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def step():
    for _ in range(4):
        torch.empty(24 * 2**20, dtype=torch.uint8).fill_(1)
        torch.empty(40 * 2**20, dtype=torch.uint8).fill_(1)

def huge():
    for line in open("/proc/self/smaps_rollup"):
        if line.startswith("AnonHugePages"):
            return int(line.split()[1])

if "reuse" in sys.argv:
    reuse_freed_memory()
step()
before = faults()
step()
again = faults() - before
pages = huge()
kept = torch.empty(200 * 2**20, dtype=torch.uint8).fill_(1)
print(again, huge() - pages)
"""


def run(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", STEPS, *arguments], capture_output=True, text=True, check=True
    )
    again, huge = done.stdout.split()
    return int(again), int(huge)


def test_the_next_step_takes_no_fresh_pages():
    pages = 64 * 2**20 // 4096
    assert run()[0] > pages  # which is what would happen, so that the count tells something
    assert run("reuse")[0] < pages / 100


@pytest.mark.skipif(
    not HUGE_PAGES.is_file() or "[madvise]" not in HUGE_PAGES.read_text(),
    reason="this system does not give huge pages to who asks for them, and to nobody else",
)
def test_memory_comes_in_huge_pages():
    assert run()[1] < 20 * 1024
    assert run("reuse")[1] > 100 * 1024


SHAPES = """
import sys
import torch
from infoalign_dgl.training.memory import bound_kernel_caches

def kept():
    return sum(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))

if "bound" in sys.argv:
    bound_kernel_caches()
layer = torch.nn.Linear(300, 600)
for rows in range(1000, 1160):
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(torch.ones(rows, 300))
    out.float().sum().backward()
    if rows == 1000:
        first = kept()
print(kept() - first)
"""


def test_kernels_of_shapes_that_do_not_come_again_are_let_go():
    def grown(*arguments):
        names = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
        done = subprocess.run(
            [sys.executable, "-c", SHAPES, *arguments],
            capture_output=True,
            text=True,
            check=True,
            env={name: value for name, value in os.environ.items() if name not in names},
        )
        return int(done.stdout)

    freely = grown()
    if freely < 100 * 1024:
        pytest.skip("bf16 products are not oneDNN's on this processor")
    assert grown("bound") < freely / 2
