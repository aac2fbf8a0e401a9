"""The machine a benchmark runs on: how many threads it may use, what it is, and how much memory is taken."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

import click

PACKAGES = (
    "infoalign-dgl", "numpy", "torch", "dgl", "numba", "rdkit",
    "torch-cluster", "torch-geometric", "csrgraph", "ensmallen", "FPSim2", "ogb", "infoalign",
)  # fmt: skip


def limit_threads(threads: int) -> None:
    """Hold every library to that many threads; to be called before any of them is imported.

    The process keeps that many processors: some libraries start one thread for each that they see.
    """
    loaded = {"torch", "dgl", "numba", "ensmallen"} & set(sys.modules)
    if loaded:
        raise RuntimeError(f"{', '.join(sorted(loaded))} must not be imported before the threads are limited")
    usable = sorted(os.sched_getaffinity(0))
    if threads > len(usable):
        raise click.BadParameter(f"this process may use {len(usable)} processors", param_hint="--threads")
    os.sched_setaffinity(0, usable[:threads])
    for variable in ("OMP", "MKL", "OPENBLAS", "NUMBA", "RAYON"):
        os.environ[f"{variable}_NUM_THREADS"] = str(threads)
    # Else a peer's threads spin for a while after their call, on the processors of whoever is timed next.
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def allow_wide_vectors() -> None:
    """Let Numba use the widest vectors there are, where LLVM would rather not; before Numba is imported."""
    import llvmlite.binding as llvm

    os.environ["NUMBA_CPU_FEATURES"] = f"{llvm.get_host_cpu_features().flatten()},-prefer-256-bit"


def describe_machine(threads: int) -> dict[str, Any]:
    """Give the processor, threads, caches, memory, load, and the versions of what is installed."""
    caches = []
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        caches.append(f"L{level}{'i' if kind == 'Instruction' else ''} {size}")
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cpu": _proc_line("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "caches": ", ".join(caches) or "unknown",
        "memory_gib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _proc_line(file: str, key: str) -> str | None:
    path = Path(file)
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), None)


def resident_bytes() -> int:
    """Memory of this process that is resident now."""
    return _own_bytes("VmRSS")


def peak_bytes() -> int:
    """Most memory of this process that was resident since it started, or since `reset_peak`."""
    return _own_bytes("VmHWM")


def reset_peak() -> None:
    """Let `peak_bytes` start anew."""
    Path("/proc/self/clear_refs").write_text("5")


def release_freed() -> None:
    """Hand freed memory back to the system, where the C library can: the next call must ask for its own."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def status_bytes(key: str, pid: int) -> int | None:
    """Bytes that a process's status gives under that key; None where it has ended."""
    try:
        value = _proc_line(f"/proc/{pid}/status", key)
    except OSError:
        return None
    return None if value is None else int(value.split()[0]) * 1024


def _own_bytes(key: str) -> int:
    found = status_bytes(key, os.getpid())
    if found is None:
        raise RuntimeError(f"/proc/self/status has no {key}: memory can be measured on Linux only")
    return found
