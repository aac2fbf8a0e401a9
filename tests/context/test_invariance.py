"""The same tables in another order are the same graph.

Rows within tables, columns within tables, and tables within their section are permuted. What the order is
documented to decide is equal in the tables here: all rows of a molecule have one structure. Everything else
is equal bit for bit, weights and scalers included: medians, means and similarities do not depend on the
order, nor do the columns of a space whose tables have different ones, the value of a gene with several
columns, or the symbol of a gene that tables call by several.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoalign_dgl.context import build_context_graph
from infoalign_dgl.context.means import Means
from infoalign_dgl.context.spec import BuildSpec

SMILES = [
    "CCO",
    "c1ccccc1O",
    "CC(=O)O",
    "CCN",
    "CCCC",
    "CC(C)O",
    "OCC(O)CO",
    "c1ccncc1",
    "CS",
    "CC#N",
    "CCS",
    "CCF",
]
GENES = ["1017", "1019", "5290", "7157", "672", "675", "1956", "2064"]
SYMBOLS = ["CDK2", "CDK4", "PIK3CA", "TP53", "BRCA1", "BRCA2", "EGFR", "ERBB2"]


def rounded(rng, rows, columns, *, gaps=0.0):
    """Values with one decimal, of which many are tied, and some missing ones."""
    values = rng.normal(size=(rows, len(columns))).round(1)
    texts = np.where(rng.random(values.shape) < gaps, "", values.astype(str))
    return [dict(zip(columns, row, strict=True)) for row in texts.tolist()]


def make_tables(seed):
    """Tables of every kind as lists of rows, with replicates, gaps, ties, repeated edges and rows to drop."""
    rng = np.random.default_rng(seed)
    features = [f"Cells_{letter}" for letter in "hbadgcef"]
    ids = [f"M{number}" for number in range(len(SMILES))]
    tables = {
        "m1": [{"id": i, "smiles": s} for i, s in zip(ids[:9], SMILES, strict=False)]
        + [{"id": "X", "smiles": "!"}, {"id": "M2", "smiles": "CCCO"}],  # M2 has two structures
        "m2": [{"id": i, "smiles": s} for i, s in zip(ids[6:], SMILES[6:], strict=True)],
        "g1": [{"symbol": s, "gene": g, "is": "landmark"} for s, g in zip(SYMBOLS, GENES, strict=True)],
        "g2": [
            {"symbol": s, "gene": g, "is": "inferred"} for s, g in zip(SYMBOLS[3:5], GENES[3:], strict=False)
        ]
        + [
            {"symbol": "CDK2", "gene": "99999", "is": "landmark"},
            {"symbol": "A2", "gene": "672", "is": "inferred"},
            {"symbol": "Z", "gene": "675", "is": "landmark"},
        ],
        "k1": [{"symbol": f"A{g}" if g == "1017" else "", "gene": g} for g in [*GENES, "99999"]],
        "k2": [{"symbol": "B", "gene": "1017"}, {"symbol": "C", "gene": "1017"}],
        "guides": [{"guide": f"G{n}", "gene": str(rng.choice([*GENES, ""]))} for n in (0, 0, 1, 1, 2, 3)],
    }
    for name, plate, known in (("p1", "A", ids[:8]), ("p2", "B", ids[4:9])):
        rows = rounded(rng, 24, features, gaps=0.02)
        tables[name] = [
            {"id": str(rng.choice(known)), "plate": plate + str(n % 3), "dose": str(n % 4), **row}
            for n, row in enumerate(rows)
        ]
    # Profiles of equal similarity, so that the nearest of them are decided by ties.
    tables["q"] = [
        {"smiles": s, "deep_1": str(n % 2), "deep_2": str(2 * (n % 2)), "deep_3": str(7 * (n % 3))}
        for n, s in enumerate(SMILES[:11])
    ]
    twice = [*GENES, "1017.0", "X1017", "675.0"]  # several columns of one gene
    tables["e1"] = [{"smiles": s, **row} for s, row in zip(SMILES, rounded(rng, 10, twice), strict=False)]
    # One space by its name: 40 columns, 39 of them and another, and two tables with 30 that become another.
    wide = [f"Nuclei_{number}" for number in range(40)]
    for name, columns in (
        ("w1", wide),
        ("w2", [*wide[1:], "Nuclei_x"]),
        ("w3", wide[:30]),
        ("w4", wide[:30]),
    ):
        tables[name] = [{"id": str(rng.choice(ids[:9])), **row} for row in rounded(rng, 6, columns)]
    tables["e2"] = [
        {"smiles": s, **row} for s, row in zip(SMILES[5:], rounded(rng, 7, SYMBOLS), strict=False)
    ]
    tables["c"] = [
        {"gene": str(rng.choice([*GENES, "none"])), **row} for row in rounded(rng, 14, features[:5])
    ]
    tables["e3"] = [
        {"symbol": symbol, **row}
        for symbol, row in zip(
            [*SYMBOLS, "ALIAS", "CDK2", "CDK2", "EGFR"], rounded(rng, 12, ids[:9], gaps=0.1), strict=True
        )
    ]
    tables["screen"] = [{"guide": f"G{rng.integers(4)}", **row} for row in rounded(rng, 9, features[:5])]
    for name in ("i1", "i2", "r"):
        tables[name] = [
            {"a": str(rng.choice(GENES)), "b": str(rng.choice(GENES)), "w": str(round(rng.random(), 1))}
            for _ in range(20)
        ]
    for name in ("b1", "b2"):
        tables[name] = [
            {"id": str(rng.choice([*ids[:9], "Z"])), "gene": str(rng.choice(GENES)), "w": str(n % 5)}
            for n in range(20)
        ]
    tables["n"] = [
        {"source": f"Gene::{a}", "metaedge": "GcG", "target": f"Gene::{b}"}
        for a, b in rng.choice(GENES, (10, 2))
    ]
    return tables


def make_spec(aggregate):
    def table(stem, **keys):
        return {"file": f"{stem}.csv", **keys}

    by_id = {"id": "id", "ids_of": "m1"}
    painting = by_id | {"space": "painting", "features": ["Cells_*"], "plate": "plate", "dose": "dose"}
    painting |= {"aggregate": aggregate, "max_missing": 0.3}
    wide = by_id | {"space": "wide", "features": ["Nuclei_*"], "max_missing": 0.9}
    edges = {"source": "a", "target": "b", "weight": "w"}
    scores = by_id | {"gene": "gene", "weight": "w", "weight_rule": "share-of-max"}
    return {
        "molecules": [table(name, name=name, id="id", smiles="smiles") for name in ("m1", "m2")],
        "gene_ids": [
            table("g1", symbol="symbol", entrez="gene", status="is"),
            # Of this table: what the other one calls CDK2 does not matter.
            table("g2", symbol="symbol", entrez="gene", status="is", aliases={"ALIAS": "CDK2"}),
        ],
        "genes": [table(name, gene="gene", symbol="symbol") for name in ("k1", "k2")],
        "perturbations": [table("guides", name="guides", id="guide", gene="gene")],
        "morphology": [
            *(table(name, **painting) for name in ("p1", "p2")),
            table("q", space="deep", smiles="smiles", features=["deep_*"]),
            *(table(name, **wide) for name in ("w1", "w2", "w3", "w4")),
        ],
        "expression": [
            table("e1", space="rna", smiles="smiles"),
            table("e2", space="rna", smiles="smiles", genes="symbol"),
            table("e3", space="rows", orientation="genes-as-rows", gene="symbol", ids_of="m1")
            | {"genes": "symbol", "genes_only": "landmark", "max_missing": 0.9},
        ],
        "gene_morphology": [
            table("c", space="crispr", gene="gene", features=["Cells_*"]),
            table("screen", space="orf", id="guide", ids_of="guides", features=["Cells_*"]),
        ],
        "gene_gene": [
            *(table(name, kind="interacts", **edges) for name in ("i1", "i2")),
            table("r", kind="regulates", **edges),
        ],
        "molecule_gene": [
            table("b1", kind="binds", **scores),
            table("b2", kind="regulates", **scores),
        ],
        "networks": [table("n", metaedges=["GcG"])],
        "similarity": {"threshold": 0.2, "sparsity": 0.5, "max_neighbors": 2},
        "graph": {"regulates_top": 0.2},
    }


def build(folder, tables, spec):
    for name, rows in tables.items():
        columns = list(rows[0])
        lines = [",".join(columns), *(",".join(row[column] for column in columns) for row in rows)]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return build_context_graph(BuildSpec.model_validate(spec), data_root=folder, means=Means(num_workers=1))


def permuted(tables, spec, order):
    """The same tables with their rows, columns and their order within each section permuted."""

    def shuffled(items):
        return order.sample(list(items), len(items))

    other = {}
    for name, rows in tables.items():
        columns = shuffled(rows[0])
        other[name] = [{column: row[column] for column in columns} for row in shuffled(rows)]
    return other, {key: shuffled(part) if isinstance(part, list) else part for key, part in spec.items()}


def everything(graph):
    """All that a graph holds."""
    nodes = {kind: table.to_dict("list") for kind, table in graph.nodes.items()}
    edges = {kind: tuple(part.tolist() for part in graph.edges(kind)) for kind in sorted(graph.num_edges)}
    spaces = {
        name: (space.describe(), space.values.tolist(), space.node_rows.tolist())
        for name, space in graph.spaces.items()
    }
    return nodes, edges, spaces, graph.schema["similarity"]


@pytest.mark.parametrize("aggregate", ["median", "mean", "keep", "strongest-dose"])
def test_the_order_of_files_rows_and_columns_does_not_matter(aggregate, tmp_path):
    @given(st.integers(0, 2**16), st.integers(0, 2**16))
    @settings(max_examples=6)
    def check(seed, order):
        tables, spec = make_tables(seed), make_spec(aggregate)
        expected = build(tmp_path, tables, spec)
        found = build(tmp_path, *permuted(tables, spec, random.Random(order)))
        for one, other in zip(everything(expected), everything(found), strict=True):
            assert one == other

    check()


def test_the_tables_have_what_an_order_could_decide(tmp_path):
    """Ties among the nearest, replicates, gaps, several tables of a space, edges that are merged."""
    graph = build(tmp_path, make_tables(0), make_spec("median"))
    report = graph.report
    assert report["spaces"]["painting"]["tables"] == ["p1.csv", "p2.csv"]
    assert (
        report["spaces"]["painting"]["imputed_values"] + sum(graph.nodes["morphology"]["replicates"] > 1) > 3
    )
    assert report["edges"]["gene interacts gene"]["merged"] > 0
    _, _, weights = graph.edges(("morphology", "similar", "morphology"))
    assert len(np.unique(weights)) < len(weights)
    assert min(graph.num_edges.values()) > 0
    assert graph.spaces["rna"].dim == len(GENES)
    assert graph.spaces["wide"].dim == 40
    assert graph.spaces["wide-2"].dim == 30
    assert report["spaces"]["wide"]["columns_not_in_widest_table"] == {"w2.csv": 1}
    assert report["spaces"]["wide-2"]["tables"] == ["w3.csv", "w4.csv"]
    genes = dict(zip(graph.nodes["gene"]["key"], graph.nodes["gene"]["symbol"], strict=True))
    assert (genes["672"], genes["675"], genes["1017"]) == ("A2", "BRCA2", "A1017")
    assert graph.report["tables"][[t["table"] for t in report["tables"]].index("e1.csv")]["repeated_genes"]
    dropped = {table["table"]: table["dropped"] for table in report["tables"]}
    assert dropped["m1.csv"]["duplicated id: another row has another structure"] == 1
    assert dropped["guides.csv"]["duplicated id: another row has another gene"] > 0
    # 672 and 7157 are inferred for one of the tables; ALIAS is 99999, and CDK2 the smaller of its two genes.
    assert graph.spaces["rows"].columns == sorted({*GENES, "99999"} - {"672", "7157"})
