"""Downloads against a real server that also truncates, corrupts, stalls and refuses."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import textwrap
import time

import pytest

from infoalign_dgl.errors import DownloadError
from infoalign_dgl.sources.downloads import LOCK, fetch, find, state
from infoalign_dgl.sources.registry import SHIPPED, DataSet, Listing, RemoteFile, checksum, read_registry
from infoalign_dgl.sources.transfer import Transfer

CONTENT = random.Random(0).randbytes(18 << 14)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Transfer(timeout=0.5, attempts=3, pause=0.0)


def one_file(*urls, path="a.bin", **known):
    return DataSet(
        title="t", licence="l", home="https://example.org", files=[{"path": path, "urls": urls, **known}]
    )


@pytest.fixture
def served(web):
    web.files["a.bin"] = CONTENT
    return web


def get(data_set, root, **options):
    return fetch("set", data_set, root, transfer=QUICK, **options)


def left(root):
    return sorted(path.name for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "behaviour",
    [
        "good",
        "truncate-once",
        "stall-once",
        "500-once",
        "ignore-range",
        "no-version",
        "truncate",
        "gzip",
        "little-by-little",
    ],
)
@pytest.mark.parametrize("known", [{}, {"sha256": SHA256, "size": len(CONTENT)}])
def test_the_file_comes_whole_whatever_happens_on_the_way(served, tmp_path, behaviour, known):
    path = "a.bin.gz" if behaviour == "gzip" else "a.bin"  # stored compressed, and served with that encoding
    content = gzip.compress(CONTENT, mtime=0) if behaviour == "gzip" else CONTENT
    served.files[path] = content
    if known and behaviour == "gzip":
        known = {"sha256": hashlib.sha256(content).hexdigest()}
    found = get(one_file(served.url(behaviour, path), path=path, **known), tmp_path)
    assert found.downloaded == found.files == [tmp_path / "set" / path]
    assert found.files[0].read_bytes() == content
    assert left(tmp_path) == [path, LOCK]
    locked = json.loads((tmp_path / "set" / LOCK).read_text())[path]
    assert (locked["sha256"], locked["size"]) == (hashlib.sha256(content).hexdigest(), len(content))


@pytest.mark.parametrize("behaviour", ["truncate-once", "stall-once"])
def test_what_came_is_not_asked_for_again(served, tmp_path, behaviour):
    get(one_file(served.url(behaviour, "a.bin")), tmp_path)
    assert [first for _, _, first in served.requests] == [0, len(CONTENT) // 2]


def test_a_second_fetch_asks_nothing(served, tmp_path):
    data_set = one_file(served.url("good", "a.bin"))
    get(data_set, tmp_path)
    again = get(data_set, tmp_path)
    assert (again.downloaded, served.count("good")) == ([], 1)


def test_bytes_of_an_unknown_version_are_gone_on_with_only_under_a_checksum(served, tmp_path):
    get(one_file(served.url("no-version", "a.bin")), tmp_path / "without")
    assert [first for _, _, first in served.requests] == [0, 0]
    served.requests.clear()
    get(one_file(served.url("no-version", "a.bin"), sha256=SHA256), tmp_path / "with")
    assert [first for _, _, first in served.requests] == [0, len(CONTENT) // 2]


def test_a_part_of_another_version_is_thrown_away(served, tmp_path):
    data_set = one_file(served.url("stall", "a.bin"))
    with pytest.raises(DownloadError, match=r"nothing came for 0\.3 s"):
        fetch("set", data_set, tmp_path, transfer=Transfer(timeout=0.3, attempts=1))
    assert [name[-5:] for name in left(tmp_path)] == [".part"]
    served.files["a.bin"] = CONTENT[::-1]
    get(one_file(served.url("good", "a.bin")), tmp_path)
    assert (tmp_path / "set" / "a.bin").read_bytes() == CONTENT[::-1]
    assert left(tmp_path) == ["a.bin", LOCK]


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("404", "answered 404 Not Found"),
        ("403", "answered 403 Forbidden"),
        ("503", "answered 503 Service Unavailable, after 3 attempts"),
        ("corrupt", "what came is another file: its sha256 is"),
        ("stall", "nothing came for 0.5 s, after 3 attempts"),
    ],
)
def test_a_failure_says_what_was_tried_and_where_to_put_the_file(served, tmp_path, behaviour, said):
    with pytest.raises(DownloadError) as caught:
        get(one_file(served.url(behaviour, "a.bin"), sha256=SHA256), tmp_path)
    text = str(caught.value)
    assert said in text
    assert f"tried {served.url(behaviour, 'a.bin')} (" in text
    assert text.endswith(f"put it at '{tmp_path / 'set' / 'a.bin'}'")
    assert "\n" not in text
    assert not (tmp_path / "set" / "a.bin").exists()
    assert [name for name in left(tmp_path) if not name.endswith(".part")] == []


def test_a_size_that_is_wrong_costs_no_download(served, tmp_path):
    with pytest.raises(DownloadError, match=r"it has 294,912 bytes there instead of 12"):
        get(one_file(served.url("good", "a.bin"), size=12), tmp_path)
    assert left(tmp_path) == []


def test_nobody_there(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and never listened on
        with pytest.raises(DownloadError, match=r"the connection failed: .*refused.*after 3 attempts"):
            get(one_file(f"http://127.0.0.1:{taken.getsockname()[1]}/a.bin"), tmp_path)


def test_a_resumed_file_that_is_wrong_in_the_end_is_fetched_afresh(served, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    version = hashlib.sha256(f'"{hashlib.md5(CONTENT).hexdigest()}"'.encode()).hexdigest()[:12]
    (folder / f"a.bin.{version}.part").write_bytes(bytes(1000))  # damaged on this disk
    get(one_file(served.url("good", "a.bin"), sha256=SHA256), tmp_path)
    assert [first for _, _, first in served.requests] == [1000, 0]
    assert (folder / "a.bin").read_bytes() == CONTENT


def test_a_part_that_is_all_of_the_file_is_taken(served, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    version = hashlib.sha256(f'"{hashlib.md5(CONTENT).hexdigest()}"'.encode()).hexdigest()[:12]
    (folder / f"a.bin.{version}.part").write_bytes(CONTENT)
    get(one_file(served.url("good", "a.bin")), tmp_path)
    assert left(tmp_path) == ["a.bin", LOCK]


def test_the_next_address_is_tried(served, tmp_path):
    urls = served.url("404", "a.bin"), served.url("good", "a.bin")
    assert get(one_file(*urls), tmp_path).files[0].read_bytes() == CONTENT
    served.files.clear()
    with pytest.raises(DownloadError, match=r"/404/a\.bin \(.*404.*\) and .*/good/a\.bin \(.*404"):
        get(one_file(*urls), tmp_path / "other")


def test_every_kind_of_checksum_is_held_to(served, tmp_path):
    blob = subprocess.run(["git", "hash-object", "--stdin"], input=CONTENT, capture_output=True, check=True)
    known = {
        "md5": hashlib.md5(CONTENT).hexdigest(),
        "git_blob": blob.stdout.decode().strip(),
        "sha256": SHA256,
    }
    for kind, right in known.items():
        get(one_file(served.url("good", "a.bin"), **{kind: right}), tmp_path / kind)
        assert checksum(tmp_path / kind / "set" / "a.bin", kind) == right
        wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
        with pytest.raises(DownloadError, match=f"its {kind} is {right} instead of {wrong}"):
            get(one_file(served.url("good", "a.bin"), **{kind: wrong}), tmp_path / f"not-{kind}")


def test_without_a_checksum_the_first_download_is_held_to(served, tmp_path):
    data_set = one_file(served.url("good", "a.bin"))
    get(data_set, tmp_path)
    path = tmp_path / "set" / "a.bin"
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(
        DownloadError, match=rf"damaged or another version: its sha256 .* instead of {SHA256}"
    ):
        get(data_set, tmp_path)
    path.unlink()
    served.files["a.bin"] = CONTENT[::-1]  # the server's file changed since
    with pytest.raises(DownloadError, match=f"another file: its sha256 .*{LOCK}"):
        get(data_set, tmp_path)
    assert not path.exists()
    (tmp_path / "set" / LOCK).unlink()
    assert get(data_set, tmp_path).files[0].read_bytes() == CONTENT[::-1]


def test_a_file_put_there_by_hand_is_checked_and_noted(tmp_path):
    data_set = one_file("http://127.0.0.1:1/a.bin", sha256=SHA256)
    path = tmp_path / "set" / "a.bin"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert get(data_set, tmp_path, offline=True).downloaded == []
    assert "found here" in json.loads((path.parent / LOCK).read_text())["a.bin"]
    path.write_bytes(b"something else")
    with pytest.raises(DownloadError, match="damaged or another version"):
        get(data_set, tmp_path, offline=True)
    assert path.read_bytes() == b"something else"


def test_offline_opens_no_connection(served, tmp_path):
    with pytest.raises(
        DownloadError, match=r"'a\.bin' is not here, and no connection may be opened.*put it at"
    ):
        get(one_file(served.url("good", "a.bin")), tmp_path, offline=True)
    assert served.requests == []
    assert left(tmp_path) == []


def test_a_killed_download_leaves_only_a_part_and_goes_on_from_there(served, tmp_path):
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from infoalign_dgl.sources.downloads import fetch
        from infoalign_dgl.sources.registry import DataSet
        file = {"path": "a.bin", "urls": [sys.argv[1]]}
        fetch("set", DataSet(title="t", licence="l", home="h", files=[file]), Path(sys.argv[2]))
    """)
    url = served.url("stall", "a.bin")
    process = subprocess.Popen([sys.executable, "-c", program, url, str(tmp_path)])
    end = time.monotonic() + 30
    while not any(path.stat().st_size == len(CONTENT) // 2 for path in tmp_path.rglob("*.part")):
        assert time.monotonic() < end
        time.sleep(0.01)
    with pytest.raises(DownloadError, match="another process is downloading"):
        get(one_file(served.url("good", "a.bin")), tmp_path)
    process.kill()
    process.wait()
    (part,) = left(tmp_path)
    assert part.endswith(".part")
    served.requests.clear()
    get(one_file(served.url("good", "a.bin")), tmp_path)
    assert served.requests == [("good", "a.bin", len(CONTENT) // 2)]
    assert (tmp_path / "set" / "a.bin").read_bytes() == CONTENT


def test_progress_counts_up_to_the_size(served, tmp_path):
    seen = []
    how = Transfer(timeout=1, progress=lambda *step: seen.append(step))
    fetch("set", one_file(served.url("slow", "a.bin")), tmp_path, transfer=how)
    done = [step[1] for step in seen]
    assert done == sorted(done)
    assert len(done) > 1
    assert seen[-1] == ("a.bin", len(CONTENT), len(CONTENT))


def test_jumps_index_says_where_a_subset_lies(served, tmp_path):
    rows = [
        {"subset": "orf", "url": served.url("404", "orf.parquet"), "etag": "0" * 32},
        {"subset": "crispr", "url": served.url("good", "a.bin"), "etag": hashlib.md5(CONTENT).hexdigest()},
        {
            "subset": "pieces",
            "url": served.url("good", "a.bin"),
            "etag": "67212e3cbdaa25de511f318cdd0503dc-3",
        },
    ]
    served.files["index.json"] = json.dumps(rows).encode()
    sha256 = hashlib.sha256(served.files["index.json"]).hexdigest()
    index = {"path": "index.json", "urls": [served.url("good", "index.json")], "sha256": sha256}

    def subset(name):
        listing = {"kind": "jump", "subset": name, "file": index}
        return DataSet(title="t", licence="l", home="h", listing=listing)

    assert state("set", subset("crispr"), tmp_path) == "no"
    found = get(subset("crispr"), tmp_path)
    assert [path.name for path in found.files] == ["a.bin"]
    assert [path.name for path in found.downloaded] == ["index.json", "a.bin"]
    assert state("set", subset("crispr"), tmp_path) == "yes"
    get(subset("pieces"), tmp_path / "other")  # an ETag of several pieces is no MD5 sum
    served.files["a.bin"] = CONTENT[::-1]
    with pytest.raises(DownloadError, match="its md5 is"):
        get(subset("crispr"), tmp_path / "changed")
    with pytest.raises(DownloadError, match="lists no file for 'brain'"):
        get(subset("brain"), tmp_path)


def test_a_zenodo_record_lists_its_files(served, tmp_path):
    entry = {
        "key": "a.bin",
        "size": len(CONTENT),
        "checksum": f"md5:{hashlib.md5(CONTENT).hexdigest()}",
        "links": {"self": served.url("good", "a.bin")},
    }
    served.files["record"] = json.dumps({"id": 1, "files": [entry]}).encode()
    listing = {"kind": "zenodo", "file": {"path": "record.json", "urls": [served.url("good", "record")]}}
    data_set = DataSet(title="t", licence="l", home="h", listing=listing)
    assert get(data_set, tmp_path).files == [tmp_path / "set" / "a.bin"]
    assert get(data_set, tmp_path).downloaded == []
    for damage, said in [
        ({"files": [entry | {"key": "../../etc/passwd"}]}, "not the path of a file inside"),
        ({"files": [entry | {"links": {"self": "file:///etc/passwd"}}]}, "not an http or https address"),
        ({"files": [{}]}, "is not the list of files it should be"),
        ({"files": []}, "lists no file"),
        ([], "is not the list of files it should be"),
    ]:
        (tmp_path / "set" / "record.json").write_text(json.dumps(damage))
        with pytest.raises(DownloadError, match=said):
            get(data_set, tmp_path)


def test_state_is_told_by_the_files(served, tmp_path):
    data_set = one_file(served.url("good", "a.bin"))
    assert state("set", data_set, tmp_path) == "no"
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.bin.0123456789ab.part").write_bytes(b"x")
    assert state("set", data_set, tmp_path) == "partly"
    get(data_set, tmp_path)
    assert state("set", data_set, tmp_path) == "yes"


def test_a_damaged_lock_is_named(served, tmp_path):
    data_set = one_file(served.url("good", "a.bin"))
    get(data_set, tmp_path)
    (tmp_path / "set" / LOCK).write_text("[1, 2")
    with pytest.raises(DownloadError, match=f"{LOCK}' is damaged"):
        get(data_set, tmp_path)


def test_the_shipped_registry_is_whole():
    registry = read_registry()
    assert {
        "jump-metadata",
        "jump-compound",
        "jump-crispr",
        "jump-orf",
        "bray",
        "sep-l1000",
        "hetionet",
    } <= set(registry)
    assert {
        "chembl2k",
        "moltoxcast",
        "broad6k",
        "biogenadme",
        "infoalign-data",
        "infoalign-pretrained",
    } <= set(registry)
    for name, data_set in registry.items():
        assert data_set.title, name
        assert data_set.licence, name
        for file in data_set.files:
            assert all(url.startswith("https://") for url in file.urls)
    with pytest.raises(DownloadError, match="did you mean hetionet"):
        find(registry, "hetionett")


def test_the_task_sets_are_the_shared_ones(data_root):
    registry = read_registry(SHIPPED)
    for name in ("chembl2k", "moltoxcast"):
        assert registry[name].files[0].mismatch(data_root / "tasks" / name / "assays.csv.gz") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a", "cannot be read as a registry"),
        ("[a]\ntitle='t'\nlicence='l'\nhome='h'", "'a'.*either files or a listing"),
        (
            "[a]\ntitle='t'\nlicence='l'\nhome='h'\nfiles=[{path='../x',urls=['https://e.org']}]",
            "not the path of a file",
        ),
        ("[a]\ntitle='t'\nlicence='l'\nhome='h'\nfiles=[{path='x',urls=['ftp://e.org']}]", "not an http"),
        ("[a]\ntitle='t'\nlicence='l'\nhome='h'\nfiles=[{path='x',urls=[]}]", "files.0.urls"),
        (
            "[a]\ntitle='t'\nlicence='l'\nhome='h'\nfiles=[{path='x',urls=['https://e.org'],sha256='1'}]",
            "sha256",
        ),
        ("[a]\ntitle='t'\nlicence='l'\nhome='h'\nlisting={kind='jump'}", "needs file and subset"),
    ],
)
def test_a_wrong_registry_is_refused_with_the_key(tmp_path, text, said):
    path = tmp_path / "registry.toml"
    path.write_text(text)
    with pytest.raises(DownloadError, match=said):
        read_registry(path)


class TestHub:
    """The hub's client against a server that answers as the hub does."""

    PROGRAM = textwrap.dedent("""
        import sys
        from pathlib import Path
        from infoalign_dgl.sources.downloads import fetch
        from infoalign_dgl.sources.registry import DataSet
        from infoalign_dgl.sources.transfer import Transfer
        listing = {"kind": "hub", "repository": "them/Data", "folder": "pretrain_raw"}
        data_set = DataSet(title="t", licence="l", home="https://example.org/Data", listing=listing)
        how = Transfer(timeout=2, attempts=1)
        print(len(fetch("set", data_set, Path(sys.argv[1]), transfer=how).downloaded))
    """)

    def run(self, web, root, **environment):
        variables = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{web.port}", **environment}
        variables |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(root / "hf")}
        command = [sys.executable, "-c", self.PROGRAM, str(root)]
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)

    @pytest.fixture
    def hub(self, web):
        pytest.importorskip("huggingface_hub")
        small, revision = b"mol_id,smiles\n", "a" * 40
        blob = hashlib.sha1(b"blob %d\0" % len(small) + small).hexdigest()
        siblings = [
            {"rfilename": "README.md", "size": 1, "blobId": "b" * 40},
            {"rfilename": "pretrain_raw/structure.csv", "size": len(small), "blobId": blob},
            {
                "rfilename": "pretrain_raw/GE_feature.npz",
                "size": len(CONTENT),
                "blobId": "c" * 40,
                "lfs": {"sha256": SHA256, "size": len(CONTENT), "pointerSize": 134},
            },
        ]
        info = {
            "id": "them/Data",
            "_id": "1",
            "sha": revision,
            "private": False,
            "tags": [],
            "siblings": siblings,
        }
        web.files["datasets/them/Data"] = json.dumps(info | {"downloads": 0, "likes": 0}).encode()
        for name, content in (("structure.csv", small), ("GE_feature.npz", CONTENT)):
            web.files[f"them/Data/resolve/{revision}/pretrain_raw/{name}"] = content
        return web

    def test_a_folder_of_a_repository_comes_checked_and_once(self, hub, tmp_path):
        first = self.run(hub, tmp_path)
        assert (first.stdout, first.returncode) == ("2\n", 0), first.stderr
        raw = tmp_path / "set" / "pretrain_raw"
        assert (raw / "GE_feature.npz").read_bytes() == CONTENT
        assert sorted(path.name for path in raw.iterdir()) == ["GE_feature.npz", "structure.csv"]
        before = len(hub.requests)
        assert self.run(hub, tmp_path).stdout == "0\n"
        assert self.run(hub, tmp_path, HF_HUB_OFFLINE="1").stdout == "0\n"
        (raw / "structure.csv").unlink()
        assert "no connection may be opened" in self.run(hub, tmp_path, HF_HUB_OFFLINE="1").stderr
        assert len(hub.requests) == before

    def test_a_hub_that_does_not_answer(self, hub, tmp_path):
        hub.files.clear()
        refused = self.run(hub, tmp_path).stderr
        assert f"the hub at http://127.0.0.1:{hub.port} did not list 'them/Data'" in refused
        assert "https://example.org/Data" in refused
        offline = self.run(hub, tmp_path / "other", HF_HUB_OFFLINE="1").stderr
        assert "its list of files is not here" in offline
        assert "HF_HUB_OFFLINE" in offline


def test_a_remote_file_says_whether_it_can_be_checked():
    assert not RemoteFile(path="a", urls=["https://e.org/a"], size=1).has_checksum
    assert RemoteFile(path="a", urls=["https://e.org/a"], md5="0" * 32).has_checksum
    assert Listing(kind="hub", repository="a/b").folder == ""
