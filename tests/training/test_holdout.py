"""Held-out molecules: stratified, fixed, never walked to in training; the validation's arithmetic."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from infoalign_dgl.errors import RunError
from infoalign_dgl.training import PretrainConfig, pretrain
from infoalign_dgl.training.holdout import (
    PROFILE_EDGES,
    SpaceValidation,
    choose_holdout,
    mean_difference,
)
from infoalign_dgl.training.run_folder import read_molecules
from infoalign_dgl.training.setup import load_data, make_model
from infoalign_dgl.training.targets import target_spaces, weighted_mean


def measured_in(graph, space):
    found = graph.spaces[space]
    molecules = set()
    for kind in PROFILE_EDGES:
        src, dst, _ = graph.edges(kind)
        if kind[2] == found.node_type:
            molecules |= set(src[found.node_rows[dst] >= 0].tolist())
    return molecules


def test_every_space_is_held_out_from(graph):
    held = set(choose_holdout(graph, 0.05, np.ones(96, bool)).molecules.tolist())
    for space, wanted in (("cells", 20), ("l1000", 12), ("dyes", 8)):
        inside = measured_in(graph, space)
        taken = len(inside & held)
        assert taken <= len(inside) // 2
        # 'l1000' lies inside 'cells', so that filling one may leave the other at its limit.
        assert taken == wanted
    unmeasured = set(range(96)) - measured_in(graph, "cells") - measured_in(graph, "dyes")
    assert len(unmeasured & held) == round(0.05 * len(unmeasured))


def test_choice_is_fixed_and_usable_only(graph):
    usable = np.ones(96, bool)
    usable[::3] = False
    first, second = (choose_holdout(graph, 0.2, usable) for _ in range(2))
    assert np.array_equal(first.molecules, second.molecules)
    assert usable[first.molecules].all()
    assert not len(choose_holdout(graph, 0.0, usable).molecules)
    assert not choose_holdout(graph, 0.0, usable).excluded.any()


def test_training_never_touches_what_is_held_out(graph, make_config):
    data = load_data(graph, make_config())
    excluded = data.holdout.excluded
    offset = graph.node_offsets["morphology"]
    for kind in PROFILE_EDGES:
        src, dst, _ = graph.edges(kind)
        first = graph.node_offsets[kind[2]]
        for molecule, profile in zip(src, dst, strict=True):
            assert excluded[molecule] == excluded[first + profile]
    assert excluded[offset:].any()
    for epoch in range(3):
        plan = data.sampler.epoch(epoch)
        for batch, walk_ids in zip(plan.batches, plan.walk_ids, strict=True):
            nodes, _ = data.builder.walks(batch, walk_ids, epoch)
            assert not excluded[nodes[nodes >= 0]].any()


def test_a_run_says_which_molecules_it_never_saw(graph, make_config, tmp_path, quiet):
    """A block that a molecule of training shares with one held out was seen."""
    table = graph.nodes["molecule"].copy()
    held = choose_holdout(graph, 0.1, np.ones(96, bool)).molecules
    trained = np.setdiff1d(np.arange(96), held)
    table.loc[held[0], "inchikey"] = table.loc[trained[0], "inchikey"][:14] + "-OTHERLAYER-N"
    table.loc[[held[1], trained[1]], "inchikey"] = None
    edges = {kind: graph.edges(kind) for kind in graph.num_edges}
    twins = type(graph).from_edges(edges, {**graph.nodes, "molecule": table}, graph.spaces)
    pretrain(twins, tmp_path / "run", make_config(max_steps=0), console=quiet)
    seen, unseen = read_molecules(tmp_path / "run")
    blocks = graph.nodes["molecule"]["key"]
    assert unseen == set(blocks[held[2:]])
    assert seen == set(blocks[np.delete(trained, 1)])
    (tmp_path / "run" / "held_out.txt").unlink()  # as runs of before
    assert read_molecules(tmp_path / "run") == (seen | unseen, frozenset())
    with pytest.raises(RunError, match=r"has no molecules\.txt, so that nobody can say which"):
        read_molecules(tmp_path)


def test_weighted_mean_counts_rows_by_their_nodes(graph):
    space = target_spaces(graph)["cells"]
    weights = np.random.default_rng(0).random(graph.total_nodes) * (np.arange(graph.total_nodes) % 3 > 0)
    total, mass = 0.0, 0.0
    for node, row in enumerate(graph.row_index("cells")):
        if row >= 0:
            total, mass = total + weights[node] * graph.spaces["cells"].values[row], mass + weights[node]
    np.testing.assert_allclose(weighted_mean(space, weights), total / mass, rtol=1e-6)
    assert (weighted_mean(space, np.zeros_like(weights)) == 0.5).all()


def test_weighted_mean_reads_bits(graph):
    everywhere = np.ones(graph.total_nodes)
    found = weighted_mean(target_spaces(graph)["fingerprint"], everywhere)
    np.testing.assert_allclose(found, graph.spaces["fingerprint"].mean(), rtol=1e-12)


def test_decoders_start_half_way_between_rows_and_visits(graph, make_config):
    data = load_data(graph, make_config())
    plan = data.sampler.epoch(0)
    rows, batch_means = graph.row_index("cells"), []
    for molecules, walk_ids in zip(plan.batches, plan.walk_ids, strict=True):
        nodes, alpha = data.builder.walks(molecules, walk_ids, 0)
        total, mass = 0.0, 0.0
        for node, weight in zip(nodes.ravel(), alpha.ravel(), strict=True):
            if node >= 0 and rows[node] >= 0:
                total, mass = total + weight * graph.spaces["cells"].values[rows[node]], mass + weight
        if mass:
            batch_means.append(total / mass)
    assert len(batch_means) > 1
    seen = rows[(rows >= 0) & ~data.holdout.excluded]
    row_mean = graph.spaces["cells"].values[seen].mean(0)
    found = data.builder.starting_means(plan, ~data.holdout.excluded)["cells"]
    np.testing.assert_allclose(found, (row_mean + np.mean(batch_means, 0)) / 2, rtol=1e-5)


def test_validation_is_the_alpha_weighted_mean_over_visited_nodes(graph, make_config):
    """Against a loop over every node of every walk; a model whose outputs are the means differs by 0."""
    config = make_config()
    data = load_data(graph, config)
    torch.manual_seed(0)
    from infoalign_dgl.training.setup import describe_run

    model = make_model(describe_run(graph, config, data).model, data, torch.device("cpu"))
    found = data.validator(model)
    assert set(found) == set(graph.spaces)
    mu = model.eval().encode(data.builder.packed.gather(data.validator.molecules)).mu
    for name in ("cells", "l1000"):
        space, rows = graph.spaces[name], graph.row_index(name)
        logits = model.decode(name, mu)
        loss = mean_loss = weight = 0.0
        means = weighted_mean(data.builder.spaces[name], ~data.holdout.excluded)
        mean = torch.logit(torch.as_tensor(means).clamp(1e-7, 1 - 1e-7))
        for molecule, (nodes, alphas) in enumerate(
            zip(data.validator.nodes, data.validator.alpha, strict=True)
        ):
            for node, alpha in zip(nodes, alphas, strict=True):
                if node < 0 or rows[node] < 0:
                    continue
                y = torch.as_tensor(space.dense(rows[node : node + 1])[0]).double()
                loss += alpha * binary_cross_entropy_with_logits(logits[molecule].double(), y).item()
                mean_loss += alpha * binary_cross_entropy_with_logits(mean, y).item()
                weight += alpha
        assert found[name].loss == pytest.approx(loss / weight, rel=1e-4)
        assert found[name].mean_loss == pytest.approx(mean_loss / weight, rel=1e-4)
        assert found[name].difference == pytest.approx(found[name].loss - found[name].mean_loss, abs=1e-9)


def test_three_molecules_of_a_small_space_do_not_outvote_the_others():
    """Checkpoints are compared by the mean over targets."""

    def found(many, few):
        return {
            "fingerprint": SpaceValidation(0.2 + many, 0.2, many, 5000),
            "small": SpaceValidation(0.7 + few, 0.7, few, 3),
        }

    early, late = mean_difference(found(-0.01, 0.1)), mean_difference(found(-0.03, 0.2))
    assert late < early
    assert late == pytest.approx((5000 * -0.03 + 3 * 0.2) / 5003)


def test_the_best_checkpoint_has_the_lowest_mean_over_targets(graph, tmp_path, quiet):
    settings = {"batch_size": 16, "holdout": 0.2, "hidden": 16, "layers": 2, "lr": 1e-2, "device": "cpu"}
    run = tmp_path / "run"
    pretrain(graph, run, PretrainConfig(max_steps=60, checkpoint_every=6, **settings), console=quiet)
    values = {}
    for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()):
        spaces = {name.split("/")[1] for name in line if name.startswith("validation/")}
        if spaces:
            counts = np.array([line[f"validation/{name}/targets"] for name in spaces])
            losses = np.array([line[f"validation/{name}/difference"] for name in spaces])
            values[line["step"]] = (counts * losses).sum() / counts.sum()
    assert len(values) == 10
    best = min(values, key=values.get)
    assert (run / "checkpoints" / "best").read_text() == f"step-{best}\n"
    assert best != min(values)
