"""Runs: they learn, repeat themselves, and say what is wrong."""

from __future__ import annotations

import dataclasses
import io
import json
import sys

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from infoalign_dgl.errors import RunError
from infoalign_dgl.representation import load
from infoalign_dgl.training import pretrain
from infoalign_dgl.training.checkpoint import checkpoint_folder
from infoalign_dgl.training.holdout import Holdout, Validator
from infoalign_dgl.training.setup import load_data


def weights(run, step=None):
    folder = checkpoint_folder(run, step)
    return load_file(folder / "model.safetensors")


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_what_it_promises(graph, make_config, tmp_path):
    text = io.StringIO()
    config = make_config(max_steps=7, checkpoint_every=3, sampling="measured=0.5")
    result = pretrain(graph, tmp_path / "run", config, console=Console(file=text, width=80))
    run = tmp_path / "run"
    assert result.steps == result.total_steps == 7
    assert result.interrupted is None
    found = lines(run)
    assert [line["step"] for line in found] == list(range(1, 8))
    spaces = set(graph.spaces)
    for line in found:
        assert {"step", "epoch", "molecules_per_second", "loss", "kl", "lr", "peak_memory_bytes"} <= set(line)
        assert {f"loss/{name}" for name in spaces} <= set(line)
        total = config.beta * line["kl"] + sum(line[f"loss/{name}"] for name in spaces)
        assert line["loss"] == pytest.approx(total, rel=1e-5)
    for line, has_validation in zip(found, [0, 0, 1, 0, 0, 1, 1], strict=True):
        assert ("validation/cells/difference" in line) == bool(has_validation)
    assert found[-1] == result.metrics
    assert result.validation["dyes"].loss == found[-1]["validation/dyes/loss"]
    printed = text.getvalue()
    assert "training molecules are isolated" in printed
    assert "an epoch is expected to visit" in printed
    assert "on molecules held out: fingerprint" in printed.splitlines()[-1]
    assert all(name in printed.splitlines()[-1] for name in spaces)
    stored = json.loads((run / "config.json").read_text())
    assert stored["pretrain"]["max_steps"] == 7
    assert set(json.loads((run / "spaces.json").read_text())) == spaces
    keys = (run / "molecules.txt").read_text().splitlines()
    assert keys == sorted(set(graph.nodes["molecule"]["key"]))
    assert any((run / "tensorboard").iterdir())
    assert np.isfinite(load(run).embed(["CCO", "c1ccccc1O"])).all()


@pytest.mark.parametrize("loss", ["balanced", "eq3", "reference"])
def test_overfits_a_tiny_graph(graph, make_config, tmp_path, quiet, loss):
    """On molecules that were trained on, every space falls below its column means."""
    config = make_config(
        epochs=1000, max_steps=150, batch_size=96, lr=1e-2, dropout=0.0, hidden=32, loss=loss, holdout=0.0
    )
    pretrain(graph, tmp_path / "run", config, console=quiet)
    data = load_data(graph, config)
    everyone = Holdout(np.arange(96), np.zeros(graph.total_nodes, bool))
    validator = Validator.of(graph, everyone, data.builder.spaces, data.builder.packed, config)
    for name, found in validator(load(tmp_path / "run", device="cpu").model).items():
        assert found.difference < -0.005, name


def test_training_starts_at_column_means(graph, make_config, tmp_path, quiet):
    """At learning rate 0 the model costs what predicting those means costs."""
    config = make_config(lr=0.0, max_steps=30, epochs=30, hidden=64)
    pretrain(graph, tmp_path / "run", config, console=quiet)
    data = load_data(graph, config)
    means = data.builder.starting_means(data.sampler.epoch(0), ~data.holdout.excluded)
    validator = dataclasses.replace(data.validator, means=means)
    for name, found in validator(load(tmp_path / "run", device="cpu").model).items():
        assert abs(found.difference) < 0.005, name


def test_same_seed_same_run(graph, make_config, tmp_path, quiet):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        pretrain(graph, tmp_path / name, make_config(seed=seed, max_steps=6), console=quiet)
    first, second, other = (weights(tmp_path / name) for name in "abc")
    assert same(first, second)
    assert not same(first, other)
    timing = ("molecules_per_second", "peak_memory_bytes")
    logs = [
        [{k: v for k, v in line.items() if k not in timing} for line in lines(tmp_path / name)]
        for name in "ab"
    ]
    assert logs[0] == logs[1]


def test_resuming_a_finished_run_validates_only(graph, make_config, tmp_path, quiet):
    config = make_config(max_steps=3)
    first = pretrain(graph, tmp_path / "run", config, console=quiet)
    again = pretrain(graph, tmp_path / "run", config, resume=True, console=quiet)
    assert again.steps == 3
    assert again.validation == first.validation
    longer = pretrain(graph, tmp_path / "run", make_config(max_steps=5), resume=True, console=quiet)
    assert longer.steps == 5


def test_bf16_is_close_and_its_losses_are_float32(graph, make_config, tmp_path, quiet):
    runs = {}
    for precision in ("fp32", "bf16"):
        config = make_config(precision=precision, max_steps=12, dropout=0.0)
        runs[precision] = pretrain(graph, tmp_path / precision, config, console=quiet)
    assert all(t.dtype != torch.bfloat16 for t in weights(tmp_path / "bf16").values())
    for name, found in runs["fp32"].validation.items():
        assert runs["bf16"].validation[name].loss == pytest.approx(found.loss, rel=0.02)
    losses = [[line["loss"] for line in lines(tmp_path / name)] for name in ("fp32", "bf16")]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)


def test_wrong_use(graph, make_config, tmp_path, quiet):
    pretrain(graph, tmp_path / "run", make_config(max_steps=2), console=quiet)
    with pytest.raises(RunError, match="is not empty: pass --resume"):
        pretrain(graph, tmp_path / "run", make_config(max_steps=2), console=quiet)
    with pytest.raises(RunError, match="there is no run to resume"):
        pretrain(graph, tmp_path / "other", make_config(), resume=True, console=quiet)
    with pytest.raises(RunError, match="was started with batch_size=16 and cannot go on with 8"):
        pretrain(graph, tmp_path / "run", make_config(batch_size=8), resume=True, console=quiet)
    with pytest.raises(RunError, match="'device' must be auto, cpu or cuda"):
        pretrain(graph, tmp_path / "new", make_config(device="tpus"), console=quiet)


def test_without_holdout_or_tensorboard(graph, make_config, tmp_path, quiet, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    result = pretrain(graph, tmp_path / "run", make_config(max_steps=2, holdout=0.0), console=quiet)
    assert result.validation == {}
    assert not (tmp_path / "run/tensorboard").exists()
    assert not (tmp_path / "run/checkpoints/best").exists()
    assert load(tmp_path / "run").checkpoint.name == "step-2"
