"""Benchmarks run from end to end on tiny sizes, with the peers there are, and write what they print."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infoalign_dgl.context import ContextGraph

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SECTION_KEYS = {"title", "baseline", "work", "unit", "results", "skipped", "ratios", "notes", "figures"}
RESULT_KEYS = {"name", "note", "seconds", "median_seconds", "min_seconds", "times_baseline", "facts"}
MODULES = {
    "torch-cluster, raw op": "torch_cluster",
    "torch-cluster, public call": "torch_cluster",
    "csrgraph, public call": "csrgraph",
    "ensmallen": "ensmallen",
    "FPSim2, Tanimoto >= 0.7": "FPSim2",
    "ogb, smiles2graph in a loop": "ogb",
    "infoalign, from the package index": "infoalign",
}


def benchmark(name: str, folder: Path, *options: str | Path, in_rounds: bool = True) -> list[dict[str, Any]]:
    """Run a program on one thread, check what all write alike, and give its sections."""
    written = folder / "out.json"
    words = [sys.executable, BENCHMARKS / f"{name}.py", "--threads", "1", "--json", written]
    words += ["--rounds", "1"] if in_rounds else []
    finished = subprocess.run(
        [*map(str, words), *map(str, options)], capture_output=True, text=True, check=False, cwd=folder
    )
    assert finished.returncode == 0, finished.stderr
    content = json.loads(written.read_text())
    assert content["benchmark"] == name
    assert content["machine"]["threads"] == 1
    assert "numpy" in content["machine"]["versions"]
    for section in content["sections"]:
        assert set(section) == SECTION_KEYS
        assert section["title"] in finished.stdout
        for result in section["results"]:
            assert set(result) >= RESULT_KEYS
            assert result["median_seconds"] > 0
            assert result["name"] in finished.stdout
        for skipped in section["skipped"]:
            assert f"skipped: {skipped['reason']}" in finished.stdout
        assert section["baseline"] in {result["name"] for result in section["results"]}
        # What is asked of full sizes is not held against tiny ones.
        assert all(ratio["met"] is None for ratio in section["ratios"])
    return content["sections"]


def assert_timed_or_named(section: dict[str, Any], *peers: str) -> None:
    """A peer that is installed was timed; of one that is not, the reason says so."""
    timed = {result["name"] for result in section["results"]}
    reasons = {skipped["name"]: skipped["reason"] for skipped in section["skipped"]}
    for peer in peers:
        if importlib.util.find_spec(MODULES[peer]) is None:
            assert reasons[peer].startswith("not installed")
        else:
            assert (peer in timed) != (peer in reasons)


def test_walks_of_one_call_and_of_a_batch(tmp_path: Path) -> None:
    sizes = ["--graph", "small", "--scale", "0.005", "--seeds", "400", "--batch", "100"]
    whole, batch = benchmark("walks", tmp_path, *sizes)
    names = {"ours, uniform", "ours, weighted", "ours, uniform, 1 thread", "ours, uniform, numba"}
    assert names | {"DGL, uniform", "DGL, prob="} <= {result["name"] for result in whole["results"]}
    cluster = ("torch-cluster, raw op", "torch-cluster, public call")
    assert_timed_or_named(whole, *cluster, "csrgraph, public call", "ensmallen")
    assert_timed_or_named(batch, *cluster)
    assert {"ours weighted / ours uniform", "DGL prob / ours weighted"} <= {
        ratio["label"] for ratio in whole["ratios"]
    }
    assert {"lines_per_second", "copy_bytes_per_second", "floor_lines_seconds"} <= set(whole["figures"])


def test_similarity_of_dense_rows_is_checked(tmp_path: Path) -> None:
    (section,) = benchmark("similarity", tmp_path, "--only", "dense", "--rows", "405")
    figures = section["figures"]
    assert figures["check_equal"]
    assert figures["checked_rows"] == 405
    assert 0.3 < figures["checked_pairs"] / (405 * 9 / 2) < 0.7
    assert figures["peak_bytes"] >= figures["resident_before_bytes"]


def test_similarity_of_fingerprints_agrees_with_peers(tmp_path: Path, data_root: Path) -> None:
    options = ["--only", "fingerprints", "--limit", "300", "--data-root", data_root, "--cache", "bits.npy"]
    (section,) = benchmark("similarity", tmp_path, *options)
    assert_timed_or_named(section, "FPSim2, Tanimoto >= 0.7")
    pairs = section["figures"]["pairs"]
    for ours, theirs in (
        ("ours, Tanimoto >= 0.7", "FPSim2, Tanimoto >= 0.7"),
        ("ours, cosine >= 0.8", "FPSim2, cosine >= 0.8"),
    ):
        assert pairs.get(theirs) in (pairs[ours], None)
    assert section["figures"]["pairs_within_bound"] <= section["figures"]["pairs_in_all"]


def test_featurization_equals_ogb(tmp_path: Path, data_root: Path) -> None:
    (section,) = benchmark("featurize", tmp_path, "--limit", "40", "--jump", "20", "--data-root", data_root)
    assert_timed_or_named(section, "ogb, smiles2graph in a loop")
    assert section["figures"].get("equal_to_ogb", True)
    assert section["work"] >= 90


def test_targets_agree_and_their_memory_is_measured(tmp_path: Path) -> None:
    (section,) = benchmark("targets", tmp_path, "--batch", "64")
    ways = {"ours", "NaN-padded gather", "dense gather", "embedding_bag"}
    assert {result["name"] for result in section["results"]} == ways
    assert set(section["figures"]["memory_bytes"]) == ways
    assert section["figures"]["largest_difference"] <= 1e-6
    assert section["figures"]["rows"]["fingerprint"] == 64


def test_pretraining_is_timed_and_taken_apart(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    sizes = ["--molecules", "200", "--batch-size", "16", "--hidden", "16", "--layers", "2", "--steps", "2"]
    steps, parts, fp32, bf16 = benchmark("pretrain", tmp_path, *sizes, "--reference", checkout)
    assert [result["name"] for result in steps["results"]] == [
        f"ours, {loss} loss, {precision}"
        for loss in ("reference", "balanced")
        for precision in ("fp32", "bf16")
    ]
    assert all(len(result["seconds"]) == 2 for result in steps["results"])
    (skipped,) = steps["skipped"]
    assert "does not work here: ended with status 1" in skipped["reason"]
    assert "No module named" in skipped["reason"]
    assert steps["figures"]["our_graph"]["nodes"] > 500
    assert 1e8 < steps["figures"]["peak_bytes"]["ours, reference loss, fp32"] < 4e9
    shares = parts["figures"]["shares"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["backward"] > 0
    assert [ratio["label"] for ratio in parts["ratios"]] == ["share of a step outside the network"]
    for section in (fp32, bf16):
        figures = section["figures"]
        # Decoders alone: 6,724 columns from 64 hidden units, forward and twice backward.
        assert figures["flops"] > 16 * 6_724 * 64 * 2 * 3
        assert 0 < figures["product_seconds"] < figures["step_seconds"]
        assert figures["predicted_seconds"] > 0


def test_embedding_gives_a_vector_per_molecule(tmp_path: Path, data_root: Path) -> None:
    sizes = ["--limit", "30", "--hidden", "16", "--layers", "2"]
    (section,) = benchmark("embed", tmp_path, *sizes, "--data-root", data_root)
    assert section["work"] == 30
    assert {"ours", "ours, reading structures", "ours, encoding"} <= {
        result["name"] for result in section["results"]
    }
    assert_timed_or_named(section, "infoalign, from the package index")


def test_a_graph_of_the_papers_shape_is_written_and_trained(tmp_path: Path) -> None:
    sizes = ["--scale", "0.003", "--steps", "8", "--hidden", "16", "--batch-size", "16", "--float16"]
    (section,) = benchmark("paper_size", tmp_path, "-o", tmp_path / "paper", *sizes, in_rounds=False)
    figures = section["figures"]
    assert figures["loading"]["nodes"] == sum(round(0.003 * n) for n in (129_592, 4_533, 13_795, 128_935))
    assert len(figures["pretraining"]["seconds"]) == 2
    graph = ContextGraph.load(tmp_path / "paper/graph")
    assert {name: space.dim for name, space in graph.spaces.items()} == {
        "fingerprint": 1024, "bray": 1783, "jump": 966, "l1000": 978, "crispr": 1111, "orf": 862,
    }  # fmt: skip
    assert all(isinstance(space.values, np.memmap) for space in graph.spaces.values())
    assert graph.spaces["jump"].values.dtype == np.float16
    assert not (tmp_path / "paper/scratch").exists()
