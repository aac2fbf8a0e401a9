"""Checkpoints: rotation, damage, and an optimizer that goes on where it was."""

from __future__ import annotations

import pytest
import torch

from infoalign_dgl.errors import InfoAlignError, RunError
from infoalign_dgl.training import checkpoint
from infoalign_dgl.training.checkpoint import (
    Progress,
    checkpoint_folder,
    load_model,
    load_training,
    newest_whole,
    save_checkpoint,
    saved_steps,
)


@pytest.fixture
def parts():
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


def save(run, parts, step, best=None, is_best=False):
    return save_checkpoint(run, *parts, Progress(step, best, 1.5), is_best=is_best)


def test_keeps_two_and_the_best(tmp_path, parts):
    for step in range(1, 6):
        save(tmp_path, parts, step, is_best=step == 2)
    assert saved_steps(tmp_path) == [2, 4, 5]
    assert (tmp_path / "checkpoints/last").read_text() == "step-5\n"
    assert (tmp_path / "checkpoints/best").read_text() == "step-2\n"
    assert checkpoint_folder(tmp_path).name == "step-2"
    assert checkpoint_folder(tmp_path, 4).name == "step-4"
    with pytest.raises(RunError, match=r"no checkpoint of step 3: it has those of steps \[2, 4, 5\]"):
        checkpoint_folder(tmp_path, 3)
    assert {path.name for path in (tmp_path / "checkpoints/step-5").iterdir()} == {
        "model.safetensors",
        "training.pt",
        "SHA256SUMS",
    }


def test_state_comes_back(tmp_path, parts):
    model, optimizer = parts
    folder = save(tmp_path, parts, 3, best=2)
    other = torch.nn.Linear(3, 2)
    again = torch.optim.Adam(other.parameters(), fused=True)
    load_model(folder, other)
    assert load_training(folder, again) == Progress(3, 2, 1.5)
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    before, after = optimizer.state_dict()["state"], again.state_dict()["state"]
    assert all(torch.equal(before[i][k], after[i][k]) for i in before for k in before[i])


def test_damage_is_named_and_skipped(tmp_path, parts):
    save(tmp_path, parts, 1)
    save(tmp_path, parts, 2)
    broken = tmp_path / "checkpoints/step-2/model.safetensors"
    broken.write_bytes(broken.read_bytes()[:-1])
    with pytest.raises(InfoAlignError, match=r"model\.safetensors' is damaged"):
        checkpoint_folder(tmp_path)
    folder, complaints = newest_whole(tmp_path)
    assert folder is not None
    assert folder.name == "step-1"
    assert len(complaints) == 1
    assert "model.safetensors" in complaints[0]


def test_a_failing_save_leaves_the_last_one(tmp_path, parts, monkeypatch):
    save(tmp_path, parts, 1)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(InfoAlignError, match="No space left on device"):
        save(tmp_path, parts, 2)
    assert saved_steps(tmp_path) == [1]
    assert checkpoint_folder(tmp_path).name == "step-1"
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["last", "step-1"]


def test_wrong_shapes_and_no_checkpoint(tmp_path, parts):
    with pytest.raises(RunError, match="has no checkpoint"):
        checkpoint_folder(tmp_path)
    assert newest_whole(tmp_path) == (None, [])
    folder = save(tmp_path, parts, 1)
    with pytest.raises(RunError, match=r"does not fit the run's config.json"):
        load_model(folder, torch.nn.Linear(4, 2))
