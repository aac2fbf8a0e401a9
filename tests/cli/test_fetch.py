"""``infoalign-dgl fetch`` as a user meets it, from a server on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pytest

CONTENT = bytes(range(256)) * 400


@pytest.fixture
def registry(web, tmp_path):
    web.files |= {"edges.sif": CONTENT, "nodes.tsv": b"id\tname\n"}
    sha256, edges = hashlib.sha256(CONTENT).hexdigest(), web.url("truncate-once", "edges.sif")
    path = tmp_path / "registry.toml"
    path.write_text(f"""
[network]
title = "A network"
licence = "CC0-1.0"
home = "https://example.org/network"
files = [
    {{ path = "edges.sif", urls = ["{edges}"], size = 102400, sha256 = "{sha256}" }},
    {{ path = "nodes.tsv", urls = ["{web.url("good", "nodes.tsv")}"], size = 8 }},
]
[large]
title = "A large table"
licence = "none stated"
home = "https://example.org/large"
about = 2835051686
files = [{{ path = "large.parquet", urls = ["{web.url("404", "large.parquet")}"] }}]
""")
    return path


@pytest.fixture
def call(registry, tmp_path):
    def run(*args, **environment):
        command = [sys.executable, "-m", "infoalign_dgl.cli", "fetch", "--registry", registry, *args]
        env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), **environment}
        return subprocess.run(command, capture_output=True, text=True, env=env, check=False)

    return run


def test_it_says_the_licence_then_downloads_then_says_where(call, web, tmp_path):
    first = call("network", "--to", tmp_path / "data")
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "data" / "network"
    assert first.stdout == f"network: 2 files in {folder}, 2 downloaded now, all checked\n"
    told = first.stderr.splitlines()
    assert told[:3] == [
        "network: A network",
        "  from https://example.org/network",
        "  licence: CC0-1.0",
    ]
    assert told[3].startswith("  edges.sif: 102 kB of 102 kB, ")
    assert told[4].startswith("  nodes.tsv: 8 B of 8 B, ")
    assert (folder / "edges.sif").read_bytes() == CONTENT
    before = len(web.requests)
    again = call("network", "--to", tmp_path / "data", "--json")
    assert json.loads(again.stdout)["network"]["downloaded"] == []
    assert call("network", "--to", tmp_path / "data", "--offline").returncode == 0
    assert len(web.requests) == before


def test_the_list_says_what_is_here(call, tmp_path):
    call("network", "--to", tmp_path / "data")
    rows = json.loads(call("--list", "--json", "--to", tmp_path / "data").stdout)
    assert [list(row.values()) for row in rows] == [
        ["network", "A network", "102 kB", "CC0-1.0", "yes"],
        ["large", "A large table", "about 2.84 GB", "none stated", "no"],
    ]
    table = call("--list", "--to", tmp_path / "data").stdout
    assert "what it is" in table
    assert table.count("A network") == 1


def test_without_a_folder_it_goes_to_the_users_cache(call, tmp_path):
    assert call("network").returncode == 0
    assert (tmp_path / "cache" / "infoalign-dgl" / "network" / "edges.sif").is_file()


def test_one_that_fails_does_not_keep_the_others_back(call, tmp_path):
    finished = call("large", "network", "--to", tmp_path)
    assert finished.returncode == 1
    assert "network: 2 files" in finished.stdout
    errors = [line for line in finished.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert errors[0].startswith("Error: large: could not download 'large.parquet': tried http://127.0.0.1")
    assert "404 Not Found" in errors[0]
    assert errors[0].endswith(f"put it at '{tmp_path / 'large' / 'large.parquet'}'")


def test_offline_fails_without_asking(call, web, tmp_path):
    finished = call("network", "--to", tmp_path, "--offline")
    assert finished.returncode == 1
    assert "no connection may be opened" in finished.stderr
    assert web.requests == []


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([], 2, "--list"),
        (["netwerk"], 1, "did you mean network"),
        (["network", "--timeout", "0"], 2, "--timeout"),
        (["network", "--registry", "nowhere.toml"], 1, "nowhere.toml"),
    ],
)
def test_wrong_use(call, args, code, said):
    finished = call(*args)
    assert finished.returncode == code
    assert said in finished.stderr


def test_the_built_in_registry_can_be_listed():
    command = [sys.executable, "-m", "infoalign_dgl.cli", "fetch", "--list", "--json"]
    shown = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    sizes = {row["name"]: row["size"] for row in shown}
    assert sizes["hetionet"] == "14.9 MB"
    assert sizes["bray"] == "not known"
