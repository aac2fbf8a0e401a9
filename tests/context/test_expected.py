"""Counts beside those that a spec expects."""

from __future__ import annotations

from click.testing import CliRunner

from infoalign_dgl.cli.main import cli
from infoalign_dgl.context import build_context_graph
from infoalign_dgl.context.expected import Compared, compare_expected, connected_pairs

SPEC = """
[[molecules]]
name = "drugs"
file = "molecules.csv"
id = "id"
smiles = "smiles"
[[networks]]
file = "edges.tsv"
ids_of = "drugs"
[expected]
source = "a paper"
molecule = 3
gene = 1200
edges = 4
"""
EDGES = """source\tmetaedge\ttarget
Gene::1\tGiG\tGene::2
Gene::1\tGr>G\tGene::2
Gene::2\tGr>G\tGene::1
Compound::a\tCbG\tGene::1
Compound::a\tCuG\tGene::1
Compound::b\tCbG\tGene::1
Compound::b\tCbG\tGene::2
"""


def write(folder, spec=SPEC):
    (folder / "molecules.csv").write_text("id,smiles\na,CCO\nb,CCN\n")
    (folder / "edges.tsv").write_text(EDGES)
    (folder / "spec.toml").write_text(spec)
    return folder / "spec.toml"


def test_edges_are_pairs_of_nodes(tmp_path):
    graph = build_context_graph(write(tmp_path))
    assert sum(graph.num_edges.values()) == 7
    source, counts = compare_expected(graph)
    assert source == "a paper"
    assert counts == [Compared("molecule", 2, 3), Compared("gene", 2, 1200), Compared("edges", 4, 4)]


def test_pairs_against_sets(graph):
    pairs = set()
    for kind in graph.num_edges:
        src, dst, _ = graph.edges(kind)
        pairs |= {frozenset([(kind[0], int(s)), (kind[2], int(d))]) for s, d in zip(src, dst, strict=True)}
    assert connected_pairs(graph) == len(pairs) > 0


def test_nothing_expected_nothing_compared(tmp_path, graph):
    assert compare_expected(graph) == ("", [])
    built = build_context_graph(write(tmp_path, SPEC.partition("[expected]")[0]))
    assert compare_expected(built) == ("", [])


def test_both_commands_print_them(tmp_path):
    write(tmp_path)
    for arguments in (
        ["build-graph", str(tmp_path / "spec.toml"), "-o", str(tmp_path / "g")],
        ["inspect", str(tmp_path / "g")],
    ):
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0, result.output
        assert "Beside a paper" in result.output
        assert "1,200" in result.output
        assert "-1,198" in result.output
