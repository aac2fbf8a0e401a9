"""The graph of a reference folder beside one made with plain dictionaries, by the published program's rules.

The rules, in words: every ``mol_id`` is a molecule, with the structure of its first row; the two morphology
tables are joined on the molecule, each combination of rows is a node; every gene of the two perturbation
tables is a node; every row of expression is a node. Within a scaffold (Tanimoto), a k-means cluster of the
joined gene features or of the second morphology table's (cosine), and over all of expression, pairs above a
threshold found by halving are similar; weights are rounded to two digits.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from infoalign_dgl.context import build_context_graph

SPEC = """
[reference_layout]
folder = "raw"
[similarity]
scope = { fingerprint = "scaffold", "crispr+orf" = "kmeans", jump = "kmeans", bray = "none", l1000 = "whole" }
sparsity = 0.9
"""
GENES, EXPRESSED, LANDMARKS = 130, 250, 400  # 100,000 values: the published program takes 1,000 at least


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("reference")
    raw = root / "raw"
    raw.mkdir()

    def write(name, width=0, **columns):
        frame = pd.DataFrame(columns)
        frame.to_csv(raw / f"{name}.csv.gz", index=False)
        if width:  # rows in groups of like ones, so that some are similar
            values = rng.normal(size=(len(frame) // 5 + 1, width))[np.arange(len(frame)) // 5]
            values = values + 0.4 * rng.normal(size=values.shape)
            np.savez(raw / f"{name}_feature.npz", data=values.astype(np.float32))

    rings = ["c1ccccc1", "C1CCCCC1", "c1ccncc1", "c1ccsc1"]
    smiles = ["C" * n + "O" for n in range(1, 30)] + ["C" * n + ring for n in range(1, 30) for ring in rings]
    molecules = np.array([f"m{n}" for n in rng.permutation(len(smiles))])
    again = rng.integers(0, len(molecules), 12)  # a molecule's second structure does not count
    write("structure", mol_id=[*molecules, *molecules[again]], smiles=[*smiles, *["CCS"] * 12])
    bray, jump = rng.choice(molecules, 90), rng.choice(molecules, 160)
    write("CP-Bray", 30, cell_bid=[f"b{n}" for n in range(90)], mol_id=bray)
    write("CP-JUMP", 25, cell_jid=[f"j{n}" for n in range(160)], mol_id=jump)
    genes = 5000 + np.arange(GENES)
    bound = rng.choice(molecules, GENES)
    write("G-CRISPR", 20, ncbi_gene_id=genes[:100], mol_id=bound[:100])
    write("G-ORF", 15, ncbi_gene_id=genes[60:], mol_id=bound[60:])
    owners = rng.choice(molecules, EXPRESSED)
    write("GE", LANDMARKS, express_id=[f"e{n}" for n in range(EXPRESSED)], mol_id=owners)
    ends = rng.integers(5000, 5000 + GENES + 10, (2, 800))
    write("G-G", source_id=ends[0], target_id=ends[1])
    landmarks = 5000 + rng.permutation(GENES + LANDMARKS)[:LANDMARKS]
    pd.DataFrame({"ncbi_gene_id": landmarks}).to_csv(raw / "L1k_idmaps.csv", index=False)
    (root / "spec.toml").write_text(SPEC)
    return root


def table(folder, name):
    frame = pd.read_csv(folder / "raw" / f"{name}.csv.gz")
    path = folder / "raw" / f"{name}_feature.npz"
    return frame, np.load(path)["data"] if path.exists() else None


def cells(folder):
    """Morphology nodes as (molecule, row of Bray or None, row of JUMP or None)."""
    by_table = []
    for name in ("CP-Bray", "CP-JUMP"):
        rows = defaultdict(list)
        for row, molecule in enumerate(table(folder, name)[0]["mol_id"]):
            rows[molecule].append(row)
        by_table.append(rows)
    first, second = by_table
    return [
        (molecule, *pair)
        for molecule in sorted(set(first) | set(second))
        for pair in itertools.product(first.get(molecule, [None]), second.get(molecule, [None]))
    ]


def halved(values, low, share):
    """Threshold above which the given share of the entries lies."""
    high = 0.99
    while high - low > 0.001:
        middle = (low + high) / 2
        if np.mean(values > middle) < share:
            high = middle
        else:
            low = middle
    return (low + high) / 2


def similar(groups, value):
    """Edges among the members of each group: {(a, b): rounded similarity}."""
    found = {}
    for group in groups:
        for a, b in itertools.combinations(group, 2):
            likeness = value(a, b)
            if likeness != 0:
                found[a, b] = likeness
    cut = halved(np.array(list(found.values())), 0.8, 0.1)
    return {pair: round(likeness, 2) for pair, likeness in found.items() if likeness >= cut}


def clustered(features):
    """Edges among rows of one of 100 clusters over two principal components."""
    points = PCA(2, random_state=0).fit_transform(features)
    labels = KMeans(100, random_state=0).fit(points).labels_
    groups = [np.flatnonzero(labels == label).tolist() for label in range(100)]
    return similar(groups, lambda a, b: correlation(features, a, b))


def correlation(features, a, b):
    if not features[a].any() or not features[b].any():
        return 0
    return float(np.corrcoef(features[a], features[b])[0, 1])


@pytest.fixture(scope="module")
def graph(folder):
    return build_context_graph(folder / "spec.toml")


def ours(graph, kind, *, names=None):
    """Edges as a counter of (source, target), and their weights."""
    names = names or {}
    src, dst, weight = graph.edges(kind)
    source, target = (names.get(end, graph.nodes[end]["key"].tolist()) for end in (kind[0], kind[2]))
    pairs = [(source[s], target[d]) for s, d in zip(src, dst, strict=True)]
    return Counter(pairs), dict(zip(pairs, weight.tolist(), strict=True))


def unordered(edges):
    return {frozenset(pair): weight for pair, weight in edges.items()}


def test_the_same_nodes(folder, graph):
    structures = table(folder, "structure")[0].drop_duplicates("mol_id")
    assert graph.nodes["molecule"]["key"].tolist() == sorted(structures["mol_id"])
    canonical = {
        m: Chem.CanonSmiles(s) for m, s in zip(structures["mol_id"], structures["smiles"], strict=True)
    }
    assert (
        dict(zip(graph.nodes["molecule"]["key"], graph.nodes["molecule"]["smiles"], strict=True)) == canonical
    )
    assert graph.num_nodes["gene"] == GENES
    assert graph.num_nodes["gene_expression"] == EXPRESSED
    expected = cells(folder)
    assert len(expected) > len({molecule for molecule, _, _ in expected})  # combinations of rows
    assert len({m for m, b, j in expected if b is not None and j is not None}) > 5  # in both tables
    assert Counter(graph.nodes["morphology"]["molecule"]) == Counter(molecule for molecule, _, _ in expected)
    assert graph.nodes["morphology"]["key"].is_unique


def test_each_morphology_node_carries_its_rows(folder, graph):
    """Each combination of rows of a molecule is there once, with the features of both."""
    bray, jump = graph.spaces["bray"], graph.spaces["jump"]
    _, raw_bray = table(folder, "CP-Bray")
    _, raw_jump = table(folder, "CP-JUMP")

    def row_of(space, raw, node):
        if space.node_rows[node] < 0:
            return None
        value = space.inverse_transform(space.dense(space.node_rows[[node]]))[0]
        distance = np.abs(raw - value).max(axis=1)
        assert distance.min() < 1e-4
        return int(distance.argmin())

    molecules = graph.nodes["morphology"]["molecule"].tolist()
    found = [(m, row_of(bray, raw_bray, n), row_of(jump, raw_jump, n)) for n, m in enumerate(molecules)]
    assert Counter(found) == Counter(cells(folder))
    spaces = [
        "bray" * (b is not None) + ";" * (None not in (b, j)) + "jump" * (j is not None) for _, b, j in found
    ]
    assert graph.nodes["morphology"]["space"].tolist() == spaces


def test_the_same_fixed_edges(folder, graph):
    by_molecule = {kind: graph.nodes[kind]["molecule"].tolist() for kind in ("morphology", "gene_expression")}
    perturbs, _ = ours(graph, ("molecule", "perturbs", "morphology"), names=by_molecule)
    assert perturbs == Counter((molecule, molecule) for molecule, _, _ in cells(folder))
    induces, _ = ours(graph, ("molecule", "induces", "gene_expression"), names=by_molecule)
    expression, values = table(folder, "GE")
    assert induces == Counter((molecule, molecule) for molecule in expression["mol_id"])

    perturbed = pd.concat([table(folder, name)[0] for name in ("G-CRISPR", "G-ORF")])
    binds, weights = ours(graph, ("molecule", "binds", "gene"))
    assert set(binds) == set(zip(perturbed["mol_id"], perturbed["ncbi_gene_id"].astype(str), strict=True))
    assert set(weights.values()) == {1}

    genes = set(perturbed["ncbi_gene_id"])
    pairs = table(folder, "G-G")[0]
    known = pairs[pairs["source_id"].isin(genes) & pairs["target_id"].isin(genes)]
    ends = [frozenset(map(str, pair)) for pair in zip(known["source_id"], known["target_id"], strict=True)]
    interacts, _ = ours(graph, ("gene", "interacts", "gene"))
    assert unordered(interacts).keys() == {pair for pair in ends if len(pair) == 2}
    dropped = next(t for t in graph.report["tables"] if t["table"] == "G-G.csv.gz")["dropped"]
    assert dropped["self-loop"] == sum(len(pair) == 1 for pair in ends) > 0

    landmarks = pd.read_csv(folder / "raw" / "L1k_idmaps.csv")["ncbi_gene_id"].tolist()
    size = np.abs(values)
    least = np.sort(size.ravel())[-1000]
    expected = defaultdict(float)
    for row, column in zip(*np.nonzero(size >= least), strict=True):
        if landmarks[column] in genes:
            pair = (expression["mol_id"][row], str(landmarks[column]))
            expected[pair] = max(expected[pair], size[row, column] / size[row].max())
    regulates, weights = ours(graph, ("molecule", "regulates", "gene"))
    assert max(regulates.values()) == 1
    assert weights == pytest.approx(dict(expected), rel=1e-6)
    assert max(weights.values()) <= 1  # the published weights are the values themselves


def test_the_same_similar_molecules(folder, graph):
    structures = table(folder, "structure")[0].drop_duplicates("mol_id")
    molecules = {
        m: Chem.MolFromSmiles(s) for m, s in zip(structures["mol_id"], structures["smiles"], strict=True)
    }
    groups = defaultdict(list)
    for name, molecule in molecules.items():
        groups[MurckoScaffoldSmiles(mol=molecule)].append(name)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    bits = {name: generator.GetFingerprint(molecule) for name, molecule in molecules.items()}
    expected = similar(groups.values(), lambda a, b: DataStructs.TanimotoSimilarity(bits[a], bits[b]))
    _, weights = ours(graph, ("molecule", "similar", "molecule"))
    assert len(expected) > 20
    assert unordered(weights) == pytest.approx(unordered(expected))


def test_the_same_similar_genes(folder, graph):
    (crispr, left), (orf, right) = table(folder, "G-CRISPR"), table(folder, "G-ORF")
    features = np.zeros((GENES, left.shape[1] + right.shape[1]))
    features[crispr["ncbi_gene_id"] - 5000, : left.shape[1]] = left
    features[orf["ncbi_gene_id"] - 5000, left.shape[1] :] = right
    _, weights = ours(graph, ("gene", "similar", "gene"), names={"gene": list(range(GENES))})
    expected = clustered(features)
    assert len(expected) > 2
    assert unordered(weights) == pytest.approx(unordered(expected))


def test_the_same_similar_morphology(folder, graph):
    """Compared are the features of JUMP only; a node without them is similar to nothing."""
    space = graph.spaces["jump"]
    features = np.zeros((graph.num_nodes["morphology"], space.dim))
    have = space.node_rows >= 0
    features[have] = space.inverse_transform(space.dense(space.node_rows[have]))
    nodes = {"morphology": list(range(len(features)))}
    _, weights = ours(graph, ("morphology", "similar", "morphology"), names=nodes)
    expected = clustered(features)
    assert len(expected) > 2
    assert set(unordered(weights)) == set(unordered(expected))
    assert unordered(weights) == pytest.approx(unordered(expected), abs=0.011)


def test_the_same_similar_expression(folder, graph):
    frame, values = table(folder, "GE")
    expected = similar([range(EXPRESSED)], lambda a, b: correlation(values, a, b))
    owner = frame["mol_id"].tolist()
    found, _ = ours(
        graph,
        ("gene_expression", "similar", "gene_expression"),
        names={"gene_expression": graph.nodes["gene_expression"]["molecule"].tolist()},
    )
    assert len(expected) > 100
    count = Counter(frozenset((owner[a], owner[b])) for a, b in expected)
    both = Counter()
    for pair, times in found.items():
        both[frozenset(pair)] += times
    assert both == count
