"""Explanations: alpha against its closed form, units, names, and neighbours against independent ones."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from rich.console import Console

from infoalign_dgl.context import ContextGraph, FeatureSpace, MinMaxScaler
from infoalign_dgl.context.vocabulary import NODE_TYPES
from infoalign_dgl.errors import InfoAlignError, RunError
from infoalign_dgl.evaluation._pairs import Space, read_spaces
from infoalign_dgl.explanation import alpha_mass, explain
from infoalign_dgl.explanation.molecule import find_molecule
from infoalign_dgl.explanation.names import parse_feature
from infoalign_dgl.explanation.notes import said_of_sigma
from infoalign_dgl.explanation.predictions import group_features
from infoalign_dgl.explanation.walked import name_node
from infoalign_dgl.explanation.yardstick import Profiles, yardstick
from infoalign_dgl.molecules import morgan_fingerprints
from infoalign_dgl.representation import load
from infoalign_dgl.training import PretrainConfig, pretrain

NEW = "O=C(O)c1ccccc1OC(C)=O"


@pytest.fixture(scope="module")
def made(once, tiny):
    """A graph's folder and a run of it: ids, gene names, and a held-out fifth."""
    folder = once("explanation", lambda folder: make(folder, tiny.make_graph()))
    return folder, ContextGraph.load(folder / "graph")


def make(folder, graph):
    graph.nodes["molecule"]["ids"] = [f"TOY-{i:03d};OLD{i}" for i in range(graph.num_nodes["molecule"])]
    graph.nodes["gene"]["symbol"] = [f"SYM{i}" for i in range(6)]
    space = graph.spaces["l1000"]
    both_ways = MinMaxScaler(np.minimum(space.scaler.minimum, -0.5), np.maximum(space.scaler.maximum, 0.5))
    names = ["0", "1", "2", "3", "4", "5", "77", "88"]
    spaces = graph.spaces | {"l1000": replace(space, columns=names, scaler=both_ways)}
    graph = ContextGraph(graph.heterograph, graph.nodes, spaces)
    graph.save(folder / "graph")
    graph = ContextGraph.load(folder / "graph")
    config = PretrainConfig(
        batch_size=16, hidden=16, layers=2, lr=1e-2, max_steps=40, checkpoint_every=20, walk_length=2,
        holdout=0.2, device="cpu",
    )  # fmt: skip
    pretrain(graph, folder / "run", config, console=Console(quiet=True))
    explain(folder / "run", NEW, walks=2, draws=2, top=1)  # keeps the fingerprints beside the graph


def small_graph():
    """Four molecules, two genes, a profile; molecule 3 has no edge.

    Molecule 0 binds gene 0 (0.5) and has profile 0 (1.0); gene 0 interacts with gene 1 (0.8); molecule 1
    binds gene 0 (0.25).
    """
    f32 = np.float32
    edges = {
        ("molecule", "perturbs", "morphology"): (np.array([0]), np.array([0]), np.array([1], f32)),
        ("molecule", "binds", "gene"): (np.array([0, 1]), np.array([0, 0]), np.array([0.5, 0.25], f32)),
        ("gene", "interacts", "gene"): (np.array([0]), np.array([1]), np.array([0.8], f32)),
    }
    names = [f"MOLECULE{i:06d}" for i in range(4)]
    profiles = {"key": ["cells:MOLECULE000000"], "molecule": names[:1], "space": ["cells"], "replicates": [1]}
    nodes = {
        "molecule": pd.DataFrame(
            {"key": names, "inchikey": [f"{name}-X" for name in names], "smiles": ["C", "CC", "CCC", "CCCC"]}
        ),
        "gene": pd.DataFrame({"key": ["11", "22"], "symbol": ["AAA", "BBB"]}),
        "gene_expression": pd.DataFrame({name: [] for name in profiles}).astype({"key": str}),
        "morphology": pd.DataFrame(profiles),
    }
    spaces = {
        "fingerprint": FeatureSpace(
            "fingerprint", "molecule", ["b"] * 8, np.ones((4, 1), np.uint8), np.arange(4), 8
        ),
        "cells": FeatureSpace("cells", "morphology", ["x"], np.ones((1, 1), f32), np.array([0])),
    }
    return ContextGraph.from_edges(edges, nodes, spaces)


def enumerated(graph, start, length):
    """Sum probability times alpha over every walk, one by one."""
    arcs = {node: [] for node in range(graph.total_nodes)}
    offsets = graph.node_offsets
    for kind in graph.num_edges:
        for s, d, w in zip(*graph.edges(kind), strict=True):
            one, other = offsets[kind[0]] + int(s), offsets[kind[2]] + int(d)
            arcs[one].append((other, float(w)))
            arcs[other].append((one, float(w)))
    mass = dict.fromkeys(range(graph.total_nodes), 0.0)
    frontier = [(start, 1.0, 1.0)]
    for step in range(length + 1):
        following = []
        for node, probability, alpha in frontier:
            mass[node] += probability * alpha
            if step < length:
                following += [
                    (far, probability / len(arcs[node]), alpha * weight) for far, weight in arcs[node]
                ]
        frontier = following
    return mass


def by_key(found):
    return {node.key: node for nodes in found.nodes.values() for node in nodes} | {found.own.key: found.own}


def test_alpha_mass_is_that_of_all_walks_one_by_one():
    graph = small_graph()
    walks = 4000
    found = alpha_mass(graph, graph.walk_index(), 0, length=2, seed=3, walks=walks)
    nodes = by_key(found)
    keys = [key for kind in NODE_TYPES for key in graph.nodes[kind]["key"]]
    expected = enumerated(graph, 0, 2)
    # By hand: back over the gene 1/2 * 1/3 * 0.5^2, over the profile 1/2 * 1; gene 1 at 1/2 * 1/3 * 0.4.
    assert expected[0] == pytest.approx(1 + 0.25 / 6 + 0.5)
    assert expected[5] == pytest.approx(0.4 / 6)
    for node, key in enumerate(keys):
        if expected[node] == 0:
            assert key not in nodes
            continue
        assert abs(nodes[key].mass - expected[node]) <= 4 * nodes[key].error
        assert nodes[key].error < 2 / np.sqrt(walks)
    assert found.total == pytest.approx(sum(node.mass for node in nodes.values()))
    assert sum(node.share for node in nodes.values()) == pytest.approx(1)
    assert [nodes[key].steps for key in ("MOLECULE000000", "11", "22")] == [0, 1, 2]
    assert (nodes["11"].label, nodes["11"].spaces) == ("AAA", [])
    genes = nodes["11"].mass + nodes["22"].mass
    assert found.without_features == pytest.approx(genes / found.total)
    cells = next(space for space in found.spaces if space.space == "cells")
    assert cells.mass == pytest.approx(nodes["cells:MOLECULE000000"].mass)
    assert cells.nodes == 1
    assert sum(space.share for space in found.spaces) == pytest.approx(1)


def test_the_standard_error_is_what_seeds_differ_by():
    graph = small_graph()
    index = graph.walk_index()
    runs = [by_key(alpha_mass(graph, index, 0, length=2, seed=s, walks=200))["11"] for s in range(60)]
    spread = np.std([node.mass for node in runs], ddof=1)
    assert spread == pytest.approx(np.mean([node.error for node in runs]), rel=0.3)


def test_paths_multiply_weights_and_never_come_back():
    graph = small_graph()
    found = alpha_mass(graph, graph.walk_index(), 0, length=2, walks=2000)
    said = {path.said(): path for path in found.paths}
    assert set(said) == {
        "perturbs cells:MOLECULE000000 (1)",
        "binds AAA (0.5)",
        "binds AAA (0.5), interacts BBB (0.8)",
        "binds AAA (0.5), binds MOLECULE000001 (0.25)",
    }
    far = said["binds AAA (0.5), interacts BBB (0.8)"]
    assert far.alpha == pytest.approx(0.4)
    assert far.taken == pytest.approx(1 / 6, abs=4 * np.sqrt(1 / 6 * 5 / 6 / 2000))
    assert far.mass == pytest.approx(by_key(found)["22"].mass)
    masses = [path.mass for path in found.paths]
    assert masses == sorted(masses, reverse=True)


def test_an_isolated_molecule_has_its_own_fingerprint_only():
    graph = small_graph()
    found = alpha_mass(graph, graph.walk_index(), 3, length=2, walks=50)
    assert found.isolated
    assert (found.total, found.own.mass, found.own.error) == (1, 1, 0)
    assert not any(found.nodes.values())
    assert [(space.space, space.share) for space in found.spaces] == [("fingerprint", 1), ("cells", 0)]


@pytest.mark.parametrize(
    ("column", "compartment", "channels"),
    [
        ("Cells_AreaShape_Area", "Cells", ()),
        ("Median_Cells_Intensity_MeanIntensity_Hoechst", "Cells", ("DNA",)),
        ("Nuclei_Texture_Contrast_RNA_3_00_256", "Nuclei", ("RNA",)),
        ("Median_Cytoplasm_Correlation_Overlap_Ph_golgi_Mito", "Cytoplasm", ("AGP", "Mito")),
        ("Cells_Correlation_Correlation_ER_ER", "Cells", ("ER",)),
        ("Image_Granularity_1_AGP", "Image", ("AGP",)),
        ("Nuclei_Intensity_MedianIntensity_BFHigh", "Nuclei", ("Brightfield",)),
        ("Cytoplasm_Texture_Variance_Syto_5", "Cytoplasm", ("RNA",)),
        ("Cells_Intensity_MeanIntensity_OrigDNA", "Cells", ("DNA",)),
        ("Nuclei_Neighbors_PERcentTouching_10", "Nuclei", ()),
        ("harmony_17", "other", ()),
        ("Cells", "other", ()),
        ("CellsER", "other", ()),
    ],
)
def test_names_of_features_say_compartment_and_channel(column, compartment, channels):
    assert parse_feature(column) == (compartment, channels)


def test_groups_are_means_of_their_features():
    columns = ["Cells_Texture_A_DNA", "Cells_Correlation_B_DNA_ER", "Nuclei_AreaShape_C", "harmony_1"]
    groups, ungrouped = group_features(columns, np.array([1.0, 3, 5, 9]), np.array([0.0, 1, 2, 3]))
    assert [(g.compartment, g.channel, g.features, g.predicted, g.measured) for g in groups] == [
        ("Cells", "DNA", 2, 2, 0.5),
        ("Cells", "ER", 1, 3, 1),
        ("Nuclei", "no channel", 1, 5, 2),
    ]
    assert ungrouped == 1


def test_what_counts_as_unchanged_follows_the_spec():
    values = np.array([[0.0, -4], [1, -2], [3, 0], [7, 10], [90, 90]])
    trained = np.array([True, True, True, True, False])
    profiles = Profiles(values, trained, values[:4].mean(axis=0), values[:4].std(axis=0))
    signed = Space(
        "s", "gene_expression", ["a", "b"], MinMaxScaler(np.array([-9.0, -4]), np.array([7.0, 10]))
    )
    assert yardstick(signed, profiles, {}).kind == "zero"
    counts = replace(signed, scaler=MinMaxScaler(np.zeros(2), np.ones(2)))
    assert yardstick(counts, profiles, {}).kind == "median"
    cells = replace(counts, node_type="morphology")
    table = {"space": "s", "normalize": "robust-mad"}
    normalized = yardstick(cells, profiles, {"morphology": [table, {"space": "other"}]})
    assert normalized.kind == "controls"
    assert "Control wells are 0" in normalized.said
    np.testing.assert_array_equal(normalized.distance(values), values)
    mixed = yardstick(cells, profiles, {"morphology": [table, {"space": "s", "normalize": None}]})
    assert mixed.kind == "median"
    assert "median of the space's 4 profiles" in mixed.said
    # The molecule that training never saw, 90, moves neither: |x - 2| is 2, 1, 1, 5, and |x + 1| 3, 1, 1, 11.
    np.testing.assert_array_equal(mixed.reference, [2, -1])
    np.testing.assert_allclose(mixed.scale, 1.4826 * np.array([1.5, 2]))
    assert "graph is not there" in yardstick(cells, None, {}).said


def own_predictions(folder, graph, smiles, space):
    """Decode mu by hand, and scale back by the formula."""
    representation = load(folder / "run", device="cpu")
    mu = torch.from_numpy(np.asarray(representation.embed([smiles])))
    with torch.inference_mode():
        share = 1 / (1 + np.exp(-representation.model.decode(space, mu)[0].double().numpy()))
    stored = json.loads((folder / "run/spaces.json").read_text())[space]["scaler"]
    low, high = np.array(stored["minimum"]), np.array(stored["maximum"])
    return dict(zip(graph.spaces[space].columns, low + (high - low) * share, strict=True))


@pytest.fixture(scope="module")
def measured(made):
    """A molecule with two profiles, which was trained on, and its explanation."""
    folder, graph = made
    held = set((folder / "run/held_out.txt").read_text().split())
    node = next(i for i in range(0, 90, 4) if graph.nodes["molecule"]["key"][i] not in held)
    return node, explain(folder / "run", graph.nodes["molecule"]["key"][node], walks=300, top=4)


def test_predictions_are_in_original_units_beside_what_was_measured(made, measured):
    folder, graph = made
    node, found = measured
    smiles = graph.nodes["molecule"]["smiles"][node]
    assert {of.space for of in found.predictions} == {"cells", "dyes", "l1000"}
    for of in found.predictions:
        expected = own_predictions(folder, graph, smiles, of.space)
        for feature in (*of.up, *of.down):
            assert feature.predicted == pytest.approx(expected[feature.column], abs=1e-5)
        values = sorted(feature.distance for feature in of.up)
        assert [feature.distance for feature in of.up] == values[::-1]
        if of.reference == "zero":
            up = sorted((v for v in expected.values() if v > 0), reverse=True)[:4]
            assert [f.predicted for f in of.up] == pytest.approx(up, abs=1e-5)
    cells = next(of for of in found.predictions if of.space == "cells")
    _, profiles, _ = graph.edges(("molecule", "perturbs", "morphology"))
    source = graph.edges(("molecule", "perturbs", "morphology"))[0]
    own = graph.spaces["cells"].node_rows[profiles[source == node][0]]
    raw = graph.spaces["cells"].inverse_transform(graph.spaces["cells"].dense(np.array([own])))[0]
    column = {name: number for number, name in enumerate(graph.spaces["cells"].columns)}
    for feature in cells.up:
        assert feature.measured == pytest.approx(raw[column[feature.column]], rel=1e-6)
    assert cells.ungrouped == 10
    assert cells.groups == []
    dyes = next(of for of in found.predictions if of.space == "dyes")
    assert dyes.profiles == []
    assert all(feature.measured is None for feature in dyes.up)


def test_agreement_is_pearsons_and_means_are_those_of_training(made, measured):
    folder, graph = made
    node, found = measured
    l1000 = next(of for of in found.predictions if of.space == "l1000")
    assert l1000.reference == "zero"
    space = graph.spaces["l1000"]
    source, target, _ = graph.edges(("molecule", "induces", "gene_expression"))
    held = set((folder / "run/held_out.txt").read_text().split())
    trained = [key not in held for key in graph.nodes["molecule"]["key"][source]]
    raw = space.inverse_transform(space.dense(space.node_rows[target]))
    mean, deviation = raw[trained].mean(axis=0), raw[trained].std(axis=0)
    own = raw[source == node][0]
    predicted = np.array(list(own_predictions(folder, graph, found.subject.smiles, "l1000").values()))
    assert l1000.correlation == pytest.approx(np.corrcoef(predicted, own)[0, 1], abs=1e-4)
    apart, truth = (predicted - mean) / deviation, (own - mean) / deviation
    assert l1000.beyond_means == pytest.approx(np.corrcoef(apart, truth)[0, 1], abs=1e-4)
    assert l1000.departure == pytest.approx(np.sqrt((apart**2).mean()), abs=1e-4)
    scores = [np.corrcoef(apart, row)[0, 1] for row in (raw - mean) / deviation]
    assert (l1000.rank, l1000.ranked) == (1 + sum(s > l1000.beyond_means + 1e-6 for s in scores), len(raw))
    for feature in l1000.up:
        assert feature.mean == pytest.approx(mean[space.columns.index(feature.column)], abs=1e-5)
        assert feature.label == (f"SYM{feature.column}" if feature.column < "6" else feature.column)
    assert l1000.validation.difference == pytest.approx(l1000.validation.loss - l1000.validation.mean_loss)


def test_sigma_is_the_spread_over_draws_of_the_latent(made, measured):
    folder, _ = made
    from infoalign_dgl.explanation.predictions import decode
    from infoalign_dgl.models import InfoAlign

    representation = load(folder / "run", device="cpu")
    space = read_spaces(folder / "run")["cells"]
    mu, sigma = np.full((1, 16), 0.1, np.float32), np.full((1, 16), 0.3, np.float32)
    model: InfoAlign = representation.model
    found = decode(model, space, mu, sigma, draws=2000, seed=0)
    rng = np.random.default_rng(99)
    latents = torch.from_numpy((mu + sigma * rng.standard_normal((4000, 16))).astype(np.float32))
    with torch.inference_mode():
        share = torch.sigmoid(model.decode("cells", latents).double()).numpy()
    expected = (share * (space.scaler.maximum - space.scaler.minimum)).std(axis=0, ddof=1)
    np.testing.assert_allclose(found.sigma, expected, rtol=0.1)


def test_training_walks_leave_out_what_was_held_out_and_validation_walks_do_not(made):
    folder, graph = made
    keys = graph.nodes["molecule"]["key"].to_numpy()
    held = set((folder / "run/held_out.txt").read_text().split())
    pairs = [
        (keys[s], keys[d]) for s, d in zip(*graph.edges(("molecule", "similar", "molecule"))[:2], strict=True)
    ]
    seen, hidden = next(
        (one, other)
        for pair in pairs
        for one, other in (pair, pair[::-1])
        if one not in held and other in held
    )
    found = explain(folder / "run", seen, walks=200)
    assert found.subject.status == "training"
    assert found.alpha_mass.length == 2
    assert hidden not in by_key(found.alpha_mass)
    node = int(np.flatnonzero(keys == seen)[0])
    assert hidden in by_key(alpha_mass(graph, graph.walk_index(), node, length=2, walks=200))
    other = explain(folder / "run", hidden, walks=200)
    assert other.subject.status == "held out"
    assert seen in by_key(other.alpha_mass)
    assert not any("learnt by heart" in note for note in other.notes)


def test_a_molecule_is_found_by_whatever_names_it(made):
    folder, graph = made
    row = graph.nodes["molecule"].iloc[7]
    salt = f"{row['smiles']}.Cl"
    for name in (row["key"], row["inchikey"], "TOY-007", "OLD7", row["smiles"], salt, f" {row['smiles']} "):
        assert explain(folder / "run", name, walks=2, draws=2, top=1).subject.node == 7
    other_stereo = f"{row['key']}-AAAAAAAAAA-N"
    assert explain(folder / "run", other_stereo, walks=2, draws=2, top=1).subject.node == 7


def test_no_name_is_not_that_of_a_molecule_without_ids(made):
    _, graph = made
    table = graph.nodes["molecule"].assign(ids="")
    nodes = {**graph.nodes, "molecule": table}
    with pytest.raises(InfoAlignError, match="'' is no molecule of the graph and empty: give SMILES"):
        find_molecule(replace_nodes(graph, nodes), " ", np.zeros(0, np.int64), tautomer=False)


def test_a_gene_without_a_symbol_is_called_by_its_key(made):
    _, graph = made
    genes = graph.nodes["gene"].assign(symbol=["", *graph.nodes["gene"]["symbol"][1:]])
    renamed = replace_nodes(graph, {**graph.nodes, "gene": genes})
    key, first = str(genes["key"].iloc[0]), graph.node_offsets["gene"]
    assert name_node(renamed, first) == ("gene", key, key)
    assert name_node(renamed, first + 1)[2] == "SYM1"


def replace_nodes(graph, nodes):
    return ContextGraph(graph.heterograph, nodes, graph.spaces)


def test_neighbours_of_a_new_molecule_are_rdkits(made, tmp_path):
    folder, graph = made
    own = tmp_path / "graph"  # a file of which is damaged below
    shutil.copytree(folder / "graph", own, ignore=shutil.ignore_patterns("cache"))
    found = explain(folder / "run", NEW, graph=own, walks=2)
    assert found.subject.status == "new"
    assert found.alpha_mass is None
    assert len(found.similar) == 10
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    query = generator.GetFingerprint(Chem.MolFromSmiles(NEW))
    smiles = graph.nodes["molecule"]["smiles"]
    every = DataStructs.BulkTanimotoSimilarity(
        query, [generator.GetFingerprint(Chem.MolFromSmiles(one)) for one in smiles]
    )
    order = sorted(range(len(every)), key=lambda i: (-every[i], i))[:10]
    assert [one.key for one in found.similar] == graph.nodes["molecule"]["key"].iloc[order].tolist()
    assert [one.similarity for one in found.similar] == pytest.approx([every[i] for i in order])
    for one, i in zip(found.similar, order, strict=True):
        expected = {"cells": i % 2 == 0, "dyes": i % 6 == 1, "l1000": i % 4 == 0}
        assert one.measured == [name for name, there in expected.items() if there]
    cached = next((own / "cache").glob("morgan2-*.npy"))
    np.testing.assert_array_equal(
        np.load(cached), morgan_fingerprints(smiles.tolist(), radius=2, num_bits=2048)
    )
    cached.write_bytes(b"damaged")
    assert explain(folder / "run", NEW, graph=own, walks=2).similar == found.similar


def test_a_run_whose_graph_is_gone_still_predicts_structures_and_says_what_is_missing(made, tmp_path):
    folder, _ = made
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    config = json.loads((run / "config.json").read_text())
    config["graph"]["folder"] = str(tmp_path / "gone")
    (run / "config.json").write_text(json.dumps(config))
    whole, bare = (explain(path, NEW, top=8, draws=5) for path in (folder / "run", run))
    assert (bare.graph, bare.similar, bare.alpha_mass) == (None, [], None)
    assert "Name the graph with --graph" in bare.notes[0]
    pairs = [
        {f.column: f.predicted for of in found.predictions if of.space == "l1000" for f in (*of.up, *of.down)}
        for found in (whole, bare)
    ]
    assert pairs[0] == pairs[1]
    assert all(f.measured is None and f.mean is None for of in bare.predictions for f in (*of.up, *of.down))
    with pytest.raises(InfoAlignError, match="cannot be looked up without the graph"):
        explain(run, "TOY-007")
    assert explain(run, "TOY-007", graph=folder / "graph", walks=2).subject.node == 7
    with pytest.raises(RunError, match="given by --graph is not in"):
        explain(run, NEW, graph=tmp_path / "gone")


def test_what_cannot_be_explained_is_one_sentence(made, tmp_path):
    folder, _ = made
    cases = [
        ("TOY-0077", "is no molecule of the graph and does not parse as SMILES: did you mean 'TOY-077'"),
        ("c1ccccc", "does not parse as SMILES: give SMILES, InChI"),
        ("C(C)(C)(C)(C)C", "breaks a rule of chemistry"),
        ("TOY-nothing-of-the-kind", r"SMILES: there is: TOY-000, .*, \.\.\.\. Give SMILES"),
        ("", "empty"),
    ]
    for text, said in cases:
        with pytest.raises(InfoAlignError, match=said.replace("(", r"\(")):
            explain(folder / "run", text)
    with pytest.raises(InfoAlignError, match="at least 2"):
        explain(folder / "run", NEW, walks=1)
    imported = tmp_path / "imported"
    shutil.copytree(folder / "run", imported)
    (imported / "spaces.json").unlink()
    with pytest.raises(InfoAlignError, match="imported weights have no such file"):
        explain(imported, NEW)
    other = small_graph()
    other.save(tmp_path / "other")
    with pytest.raises(RunError, match="is not the graph that"):
        explain(folder / "run", NEW, graph=tmp_path / "other")


def test_the_same_call_gives_the_same_and_json_can_hold_it(made, measured):
    folder, graph = made
    node, found = measured
    again = explain(folder / "run", graph.nodes["molecule"]["key"][node], walks=300, top=4)
    assert json.loads(json.dumps(again.to_json(), allow_nan=False)) == json.loads(json.dumps(found.to_json()))


def test_a_sigma_at_its_floor_is_not_called_certainty(measured):
    _, found = measured
    floor = np.full((1, 300), 1e-7, np.float32)
    said = said_of_sigma(floor, 1e-9, found.predictions)
    assert "at the floor that keeps it above 0 (1e-07) in all 300 dimensions" in said
    assert "so small a beta (1e-09)" in said
    assert said.endswith("does not make the predictions certain.")
    floor[0, 0] = 0.5
    assert "in 299 of the 300 dimensions" in said_of_sigma(floor, 1e-9, found.predictions)
    assert "floor" not in said_of_sigma(np.full((1, 300), 0.5), 1e-9, found.predictions)
