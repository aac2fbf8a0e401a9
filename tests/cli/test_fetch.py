"""``infoalign-dgl fetch`` as a user meets it, from a server on this machine."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from infoalign_dgl.cli.main import cli
from infoalign_dgl.errors import DownloadError

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
    def run(*args):
        command = ["fetch", "--registry", registry, *args]
        return CliRunner().invoke(
            cli, list(map(str, command)), env={"XDG_CACHE_HOME": str(tmp_path / "cache")}
        )

    return run


def test_it_says_the_licence_then_downloads_then_says_where(call, web, tmp_path):
    first = call("network", "--to", tmp_path / "data")
    assert first.exit_code == 0, first.stderr
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
    assert call("network", "--to", tmp_path / "data", "--offline").exit_code == 0
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
    assert call("network").exit_code == 0
    assert (tmp_path / "cache" / "infoalign-dgl" / "network" / "edges.sif").is_file()


def test_one_that_fails_does_not_keep_the_others_back(registry, tmp_path):
    command = [sys.executable, "-m", "infoalign_dgl.cli", "fetch", "--registry", registry, "--to", tmp_path]
    finished = subprocess.run([*command, "large", "network"], capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert "network: 2 files" in finished.stdout
    errors = [line for line in finished.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert errors[0].startswith("Error: large: could not download 'large.parquet': tried http://127.0.0.1")
    assert "404 Not Found" in errors[0]
    assert errors[0].endswith(f"put it at '{tmp_path / 'large' / 'large.parquet'}'")


def test_offline_fails_without_asking(call, web, tmp_path):
    finished = call("network", "--to", tmp_path, "--offline")
    assert isinstance(finished.exception, DownloadError)
    assert "no connection may be opened" in str(finished.exception)
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
    assert finished.exit_code == code
    assert said in finished.stderr + str(finished.exception)


def test_the_built_in_registry_can_be_listed():
    shown = json.loads(CliRunner().invoke(cli, ["fetch", "--list", "--json"]).stdout)
    sizes = {row["name"]: row["size"] for row in shown}
    assert sizes["hetionet"] == "14.9 MB"
    assert sizes["bray"] == "not known"
