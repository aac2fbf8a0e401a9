"""Checkpoints: rotation, damage, and an optimizer that goes on where it was."""

from __future__ import annotations

import resource

import pytest
import torch

from infoalign_dgl.errors import InfoAlignError, RunError
from infoalign_dgl.training.checkpoint import (
    Progress,
    checkpoint_folder,
    load_model,
    load_training,
    newest_whole,
    save_checkpoint,
    saved_steps,
    settle,
)


@pytest.fixture
def parts():
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


def save(run, parts, step, best=None, keep=2):
    return save_checkpoint(run, *parts, Progress(step, best, 1.5, 8), keep=keep)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def damage(run, step):
    broken = run / f"checkpoints/step-{step}/model.safetensors"
    broken.write_bytes(broken.read_bytes()[:-1])


def test_keeps_two_and_the_best(tmp_path, parts):
    for step in range(1, 6):
        save(tmp_path, parts, step, best=2 if step >= 2 else None)
    assert saved_steps(tmp_path) == [2, 4, 5]
    assert (tmp_path / "checkpoints/last").read_text() == "step-5\n"
    assert (tmp_path / "checkpoints/best").read_text() == "step-2\n"
    assert checkpoint_folder(tmp_path).name == "step-2"
    assert checkpoint_folder(tmp_path, 4).name == "step-4"
    with pytest.raises(RunError, match=r"no checkpoint of step 3: it has those of steps \[2, 4, 5\]"):
        checkpoint_folder(tmp_path, 3)
    assert names(tmp_path / "checkpoints/step-5") == ["SHA256SUMS", "model.safetensors", "training.pt"]
    save(tmp_path, parts, 6, best=6, keep=1)
    assert names(tmp_path / "checkpoints") == ["best", "last", "step-6"]


def test_state_comes_back(tmp_path, parts):
    model, optimizer = parts
    folder = save(tmp_path, parts, 3, best=2)
    other = torch.nn.Linear(3, 2)
    again = torch.optim.Adam(other.parameters(), fused=True)
    load_model(folder, other)
    assert load_training(folder, again) == Progress(3, 2, 1.5, 8)
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    before, after = optimizer.state_dict()["state"], again.state_dict()["state"]
    assert all(torch.equal(before[i][k], after[i][k]) for i in before for k in before[i])


def test_damage_is_named_and_skipped(tmp_path, parts):
    for step in (1, 2):
        save(tmp_path, parts, step, best=step)
    damage(tmp_path, 2)
    with pytest.raises(InfoAlignError, match=r"step-2/model\.safetensors' is damaged"):
        checkpoint_folder(tmp_path, 2)
    with pytest.warns(UserWarning, match=r"step-2/model\.safetensors' is damaged.*step-1' is read"):
        assert checkpoint_folder(tmp_path).name == "step-1"
    folder, complaints = newest_whole(tmp_path)
    assert folder is not None
    assert folder.name == "step-1"
    assert len(complaints) == 1
    assert "step-2/model.safetensors' is damaged" in complaints[0]
    assert "'step-2.damaged'" in complaints[0]
    assert saved_steps(tmp_path) == [1]
    # Reached again and damaged again: only one copy of the damage is kept.
    save(tmp_path, parts, 2, best=2)
    damage(tmp_path, 2)
    newest_whole(tmp_path)
    assert names(tmp_path / "checkpoints") == ["best", "last", "step-1", "step-2.damaged"]


def test_everything_damaged(tmp_path, parts):
    save(tmp_path, parts, 1)
    damage(tmp_path, 1)
    with pytest.raises(RunError, match=r"no checkpoint of '.*' is whole: .*step-1/model"):
        checkpoint_folder(tmp_path)
    assert newest_whole(tmp_path)[0] is None


def test_best_that_is_damaged_or_gone_is_the_best_no_longer(tmp_path, parts):
    for step in (1, 2, 3):
        save(tmp_path, parts, step, best=1)
    damage(tmp_path, 1)
    progress = Progress(3, 1, 1.5, 8)
    settle(tmp_path, progress, keep=2)
    assert progress == Progress(3, None, float("inf"), 8)
    assert names(tmp_path / "checkpoints") == ["last", "step-2", "step-3"]
    # `best` names a checkpoint that somebody removed: what is left is read.
    (tmp_path / "checkpoints/best").write_text("step-1\n")
    assert checkpoint_folder(tmp_path).name == "step-3"


def test_what_a_killed_save_did_not_come_to_is_done_on_resume(tmp_path, parts):
    """Killed after the rename of step 4: `last` and `best` are those of step 3, and step 2 still stands."""
    for step in (2, 3, 4):
        save(tmp_path, parts, step, best=step, keep=9)
    for name in ("best", "last"):
        (tmp_path / f"checkpoints/{name}").write_text("step-3\n")
    (tmp_path / "checkpoints/.step-5.partial-x").mkdir()
    (tmp_path / "checkpoints/.last.partial").write_text("st")
    folder, _ = newest_whole(tmp_path)
    assert folder is not None
    settle(tmp_path, Progress(4, 4, 1.5), keep=2)
    assert names(tmp_path / "checkpoints") == ["best", "last", "step-3", "step-4"]
    assert checkpoint_folder(tmp_path).name == "step-4"
    assert (tmp_path / "checkpoints/last").read_text() == "step-4\n"


def test_a_failing_save_leaves_the_last_one(tmp_path, parts):
    """Files may not grow beyond a limit, which safetensors, torch and Python each meet in their own way."""
    save(tmp_path, parts, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    whole = [path.stat().st_size for path in sorted((tmp_path / "checkpoints/step-1").iterdir())]
    for limit in (0, 50, *(size // 2 for size in whole), whole[-1] - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            with pytest.raises(
                InfoAlignError, match=r"could not write '.*step-2': File too large; nothing was"
            ):
                save(tmp_path, parts, 2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert names(tmp_path / "checkpoints") == ["last", "step-1"]
    assert checkpoint_folder(tmp_path).name == "step-1"
    save(tmp_path, parts, 2)


def test_wrong_shapes_and_no_checkpoint(tmp_path, parts):
    with pytest.raises(RunError, match="has no checkpoint"):
        checkpoint_folder(tmp_path)
    assert newest_whole(tmp_path) == (None, [])
    folder = save(tmp_path, parts, 1)
    with pytest.raises(RunError, match=r"does not fit the run's config.json"):
        load_model(folder, torch.nn.Linear(4, 2))
