"""The graph object, its walk index, and its folder under every fault that can be provoked."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest

from infoalign_dgl.context import EDGE_TYPES, NODE_TYPES, ContextGraph
from infoalign_dgl.errors import GraphError, InfoAlignError
from infoalign_dgl.walks import random_walks


def same(a, b):
    """Whether two graphs are equal in all that a folder holds."""
    for kind in NODE_TYPES:
        if not a.nodes[kind].equals(b.nodes[kind]):
            return False
    for kind in EDGE_TYPES:
        if not all(np.array_equal(x, y) for x, y in zip(a.edges(kind), b.edges(kind), strict=True)):
            return False
    for name, space in a.spaces.items():
        other = b.spaces[name]
        if not np.array_equal(space.values, other.values) or space.values.dtype != other.values.dtype:
            return False
        if not np.array_equal(space.node_rows, other.node_rows) or space.columns != other.columns:
            return False
        if space.num_bits != other.num_bits:
            return False
        if space.scaler and not (
            np.array_equal(space.scaler.minimum, other.scaler.minimum)
            and np.array_equal(space.scaler.maximum, other.scaler.maximum)
        ):
            return False
    return list(a.spaces) == list(b.spaces) and a.report == b.report


def test_counts_and_offsets(graph, edges):
    assert graph.num_nodes == {"molecule": 30, "gene": 12, "gene_expression": 6, "morphology": 10}
    assert graph.node_offsets == {"molecule": 0, "gene": 30, "gene_expression": 42, "morphology": 48}
    assert graph.total_nodes == 58
    assert graph.num_edges == {kind: len(edges[kind][0]) for kind in EDGE_TYPES}
    assert "molecule=30" in repr(graph)
    assert "painting: 10 x 4" in repr(graph)
    assert len(repr(graph)) < 700


def test_row_index_is_over_global_ids(graph):
    index = graph.row_index("crispr")
    expected = np.full(58, -1)
    expected[[37, 32, 35]] = [0, 1, 2]
    np.testing.assert_array_equal(index, expected)
    np.testing.assert_array_equal(graph.row_index("fingerprint")[:30], np.arange(30))
    with pytest.raises(GraphError, match="no feature space 'orf'"):
        graph.row_index("orf")


def arcs(index):
    """All arcs as (source, target, weight, edge id)."""
    source = np.repeat(np.arange(index.num_nodes), np.diff(index.indptr))
    return list(
        zip(
            source.tolist(),
            index.indices.tolist(),
            index.weight.tolist(),
            index.edge_ids.tolist(),
            strict=False,
        )
    )


def expected_arcs(graph, edges):
    forward = []
    for kind in EDGE_TYPES:
        src, dst, weight = edges[kind]
        for s, d, w in zip(src, dst, weight, strict=False):
            forward.append(
                (
                    int(s) + graph.node_offsets[kind[0]],
                    int(d) + graph.node_offsets[kind[2]],
                    float(w),
                    len(forward),
                )
            )
    return forward


def test_walk_index_has_every_edge_both_ways_under_one_id(graph, edges):
    forward = expected_arcs(graph, edges)
    both = forward + [(d, s, w, e) for s, d, w, e in forward]
    index = graph.walk_index()
    assert index.num_nodes == 58
    # Stable within a node: forward arcs in edge order, then reverses.
    assert arcs(index) == sorted(both, key=lambda arc: arc[0])
    directed = graph.walk_index(respect_direction=True)
    assert arcs(directed) == sorted(forward, key=lambda arc: arc[0])


def test_excluded_nodes_have_no_arc(graph, edges):
    out = np.array([3, 31, 50])
    index = graph.walk_index(exclude_nodes=out)
    kept = [a for a in arcs(graph.walk_index()) if a[0] not in out and a[1] not in out]
    assert arcs(index) == kept
    assert 0 < len(kept) < graph.walk_index().num_arcs


def test_alpha_is_the_product_of_the_weights_passed_for_any_order_of_edges(make_graph, edges):
    rng = np.random.default_rng(5)
    weight_of = {}
    for position in range(4):
        orders = {kind: rng.permutation(len(edges[kind][0])) for kind in EDGE_TYPES}
        shuffled = {kind: tuple(part[orders[kind]] for part in edges[kind]) for kind in EDGE_TYPES}
        graph = make_graph(shuffled if position else edges)
        for s, d, w, _ in expected_arcs(graph, shuffled if position else edges):
            assert weight_of.setdefault(frozenset([s, d]), w) == w
        walks = graph.walks(np.repeat(np.arange(30), 20), 4, seed=position, return_edges=True)
        ends = {e: {s, d} for s, d, _, e in arcs(graph.walk_index())}
        for nodes, alpha, ids in zip(walks.nodes, walks.alpha, walks.edges, strict=False):
            product = np.float32(1)
            assert alpha[0] == 1
            for step, (a, b) in enumerate(itertools.pairwise(nodes)):
                if b < 0:
                    assert alpha[step + 1] == 0
                    break
                product *= np.float32(weight_of[frozenset([int(a), int(b)])])
                assert alpha[step + 1] == product
                assert ends[int(ids[step])] == {int(a), int(b)}


def test_walks_are_those_of_the_walk_index(graph):
    seeds = np.arange(30)
    expected = random_walks(graph.walk_index(), seeds, 3, seed=9, stream=2)
    np.testing.assert_array_equal(graph.walks(seeds, 3, seed=9, stream=2).nodes, expected.nodes)


def test_walks_along_some_edge_types_only(graph):
    """Edge ids are global over the types in order, so they say which type a step took."""
    ends = np.cumsum([graph.num_edges[kind] for kind in EDGE_TYPES])

    def types_taken(walks):
        return {EDGE_TYPES[np.searchsorted(ends, e, side="right")] for e in walks.edges.ravel() if e >= 0}

    genes = 30 + np.arange(graph.num_nodes["gene"])
    index = graph.walk_index(edge_types=["similar", ("gene", "interacts", "gene")])
    taken = types_taken(random_walks(index, np.arange(58), 3, walks_per_seed=50, return_edges=True))
    assert taken == {kind for kind in EDGE_TYPES if kind[1] == "similar"} | {("gene", "interacts", "gene")}

    walks = graph.walks(
        genes,
        4,
        metapath=["binds", ("molecule", "similar", "molecule")],
        walks_per_seed=20,
        return_edges=True,
    )
    kinds = [types_taken(type(walks)(walks.nodes, walks.alpha, walks.edges[:, [step]])) for step in range(4)]
    binds, similar = {("molecule", "binds", "gene")}, {("molecule", "similar", "molecule")}
    assert kinds == [
        binds,
        similar,
        binds,
        set(),
    ]  # the third step ends at a gene, where "similar" is a dead end
    assert (walks.nodes[:, 1] < 30).all()  # from a gene, the edge is walked backwards


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (dict(metapath=["bind"]), "unknown edge type 'bind': use one of .*'binds'"),
        (dict(metapath=["similar"]), "'metapath' names 'similar', which several edge types are called"),
        (dict(metapath=[("gene", "binds", "molecule")]), "unknown edge type"),
    ],
)
def test_metapaths_that_mean_nothing(graph, call, message):
    with pytest.raises(GraphError, match=message):
        graph.walks([0], 3, **call)
    with pytest.raises(GraphError, match="unknown edge type 'bind'"):
        graph.walk_index(edge_types=["bind"])


def test_a_metapath_along_no_edges(make_graph, edges):
    empty = {kind: tuple(part[:0] for part in table) for kind, table in edges.items() if kind[1] == "binds"}
    graph = make_graph({**edges, **empty})
    with pytest.raises(GraphError, match=r"'metapath' names .*binds.* of which this graph has no edges"):
        graph.walks([0], 3, metapath=["binds"])


@pytest.mark.parametrize("float16", [False, True])
def test_save_and_load(make_graph, edges, tmp_path, float16):
    rng = np.random.default_rng(3)  # edges in no order, as nothing promises one
    orders = {kind: rng.permutation(len(edges[kind][0])) for kind in EDGE_TYPES}
    graph = make_graph({k: tuple(part[orders[k]] for part in edges[k]) for k in EDGE_TYPES}, float16=float16)
    graph.save(tmp_path / "g")
    loaded = ContextGraph.load(tmp_path / "g")
    assert same(graph, loaded)
    assert all(isinstance(space.values, np.memmap) for space in loaded.spaces.values())
    assert loaded.schema["package_versions"]["dgl"]
    assert loaded.schema["counts"]["nodes"] == graph.num_nodes
    loaded.save(tmp_path / "again")
    assert same(graph, ContextGraph.load(tmp_path / "again"))
    assert str(tmp_path) not in (tmp_path / "g" / "schema.json").read_text()


def test_a_graph_overwrites_the_folder_it_is_mapped_from(graph, tmp_path):
    graph.save(tmp_path / "g")
    loaded = ContextGraph.load(tmp_path / "g")
    loaded.save(tmp_path / "g", overwrite=True)
    assert same(graph, ContextGraph.load(tmp_path / "g"))


def test_save_refuses_what_exists(graph, tmp_path):
    graph.save(tmp_path / "g")
    with pytest.raises(InfoAlignError, match="already exists"):
        graph.save(tmp_path / "g")


@pytest.mark.parametrize("verify", [True, False])
def test_where_no_graph_is_the_folder_to_give_is_said(tmp_path, verify):
    with pytest.raises(GraphError) as caught:
        ContextGraph.load(tmp_path / "g", verify=verify)
    assert (
        str(caught.value) == f"no context graph at '{tmp_path / 'g'}': give the folder that build-graph wrote"
    )


FILES = [
    "heterograph.bin",
    "schema.json",
    "build_report.json",
    "nodes/molecule.parquet",
    "nodes/morphology.parquet",
    "features/fingerprint.npy",
    "features/crispr.npy",
    "features/crispr.nodes.npy",
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("fault", ["missing", "flipped", "cut", "empty"])
def test_a_damaged_file_is_named(graph, tmp_path, name, fault):
    graph.save(tmp_path / "g")
    path = tmp_path / "g" / name
    content = bytearray(path.read_bytes())
    if fault == "missing":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes({"flipped": content, "cut": content[:-1], "empty": b""}[fault]))
    with pytest.raises(InfoAlignError) as caught:
        ContextGraph.load(tmp_path / "g")
    assert f"{path}'" in str(caught.value)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("fault", ["missing", "empty"])
def test_a_damaged_file_is_named_without_checksums_too(graph, tmp_path, name, fault):
    graph.save(tmp_path / "g")
    path = tmp_path / "g" / name
    path.unlink()
    if fault == "empty":
        path.write_bytes(b"")
    with pytest.raises(GraphError) as caught:
        ContextGraph.load(tmp_path / "g", verify=False)
    assert f"{path}'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_format_version_is_refused(graph, tmp_path):
    graph.save(tmp_path / "g")
    path = tmp_path / "g" / "schema.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 99}))
    with pytest.raises(GraphError, match=r"schema\.json' has format version 99 .* reads version 1"):
        ContextGraph.load(tmp_path / "g", verify=False)


LIMITED_SAVE = """
import resource, signal, sys
from infoalign_dgl.context import ContextGraph
from infoalign_dgl.errors import InfoAlignError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit fails like one to a full disk
target, new = sys.argv[1:3]
graph = ContextGraph.load(new)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
for limit in map(int, sys.argv[3:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    try:
        graph.save(target, overwrite=True)
        outcome = "saved"
    except InfoAlignError as error:
        outcome = str(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    ContextGraph.load(target)  # whole, with right checksums, whichever it is
    print(limit, len(ContextGraph.load(target).report), outcome)
    if outcome == "saved":
        break
"""


def test_a_full_disk_leaves_the_old_folder_untouched(graph, tmp_path):
    graph.save(tmp_path / "old")
    graph.report["new"] = (
        "x" * 200_000
    )  # the report becomes the largest file, so that each file meets the limit
    graph.save(tmp_path / "new")
    sizes = sorted(p.stat().st_size for p in (tmp_path / "new").rglob("*") if p.is_file())
    limits = sorted({0, 1, *(size - 1 for size in sizes), *(size // 2 for size in sizes)})
    command = [sys.executable, "-c", LIMITED_SAVE, str(tmp_path / "old"), str(tmp_path / "new")]
    done = subprocess.run([*command, *map(str, limits), str(sizes[-1])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(limits) + 1
    for line in lines[:-1]:
        assert line.split()[1] == "0"
        assert "could not write" in line
        assert "nothing was changed there" in line
    assert lines[-1].split()[1:] == ["1", "saved"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "old"]  # nothing partial is left


def test_the_last_bytes_of_the_heterograph_are_not_lost_silently(make_graph, tmp_path):
    rng = np.random.default_rng(0)
    many = (rng.integers(0, 12, 5000), rng.integers(0, 12, 5000), rng.random(5000))
    make_graph({("gene", "interacts", "gene"): many}).save(tmp_path / "new")
    make_graph({}).save(tmp_path / "old")
    size = (tmp_path / "new" / "heterograph.bin").stat().st_size  # larger than every other file
    command = [sys.executable, "-c", LIMITED_SAVE, str(tmp_path / "old"), str(tmp_path / "new")]
    limits = [str(size - lost) for lost in (4000, 1000, 100, -1000)]
    done = subprocess.run([*command, *limits], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outcomes = [line.split(maxsplit=2)[2] for line in done.stdout.splitlines()]
    assert all("heterograph.bin could not be written whole" in outcome for outcome in outcomes[:-1])
    assert len(outcomes) == 4
    assert outcomes[-1] == "saved"


def test_edges_are_checked(make_graph):
    kind = ("gene", "interacts", "gene")
    one = np.array([0])
    for weight, shown in ((1.25, "1.25"), (-0.1, "-0.1"), (np.nan, "nan")):
        with pytest.raises(GraphError, match=rf"'weight' must be in \[0, 1\].*edge 0 \({shown}\)"):
            make_graph({kind: (one, one, np.array([weight]))})
    with pytest.raises(GraphError, match=r"names gene 12 at edge 1, but there are 12 gene nodes"):
        make_graph({kind: (np.array([0, 12]), np.array([1, 1]), np.ones(2))})
    with pytest.raises(GraphError, match="1 sources, 2 targets and 1 weights"):
        make_graph({kind: (one, np.array([0, 1]), np.ones(1))})
    with pytest.raises(GraphError, match="unknown edge type"):
        make_graph({("gene", "loves", "gene"): (one, one, np.ones(1))})


def test_the_heterograph_is_a_plain_dgl_graph(graph, edges):
    kind = ("molecule", "binds", "gene")
    heterograph = graph.heterograph
    assert set(heterograph.canonical_etypes) == set(EDGE_TYPES)
    assert heterograph.edges[kind].data["weight"].numpy() == pytest.approx(edges[kind][2])
    assert type(heterograph).__module__.startswith("dgl")
