"""Settings: published defaults, errors, and what a resumed run may change."""

from __future__ import annotations

import json

import pytest

from infoalign_dgl.errors import RunError
from infoalign_dgl.models import OBJECTIVES
from infoalign_dgl.training import PretrainConfig
from infoalign_dgl.training.config import LOSSES


def test_published_defaults():
    config = PretrainConfig()
    assert (config.batch_size, config.epochs, config.walk_length) == (3072, 300, 4)
    assert (config.beta, config.lr, config.weight_decay) == (1e-9, 1e-4, 1e-8)
    assert (config.encoder, config.hidden, config.layers, config.dropout) == ("gin-virtual", 300, 5, 0.5)
    assert set(LOSSES) == set(OBJECTIVES)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "'epochs' must be at least 1, not 0"),
        ({"batch_size": 1}, "'batch_size' must be at least 2"),
        ({"max_steps": -1}, "'max_steps' must be at least 0, not -1"),
        ({"keep": 0}, "'keep' must be at least 1, not 0"),
        ({"micro_batch": 1}, "'micro_batch' must be at least 2, not 1"),
        ({"control": "placebo"}, "'control' must be one of permuted, fingerprints, not 'placebo'"),
        ({"stop_after": 0}, "'stop_after' must be at least 1"),
        ({"max_minutes": 0.0}, "'max_minutes' must be above 0"),
        ({"max_minutes": float("nan")}, "'max_minutes' must be above 0"),
        ({"lr": float("nan")}, "'lr' must be a finite number"),
        ({"beta": -1.0}, "'beta' must be"),
        ({"loss": "mse"}, "'loss' must be one of balanced, eq3, reference, not 'mse'"),
        ({"precision": "fp8"}, "'precision' must be one of fp32, bf16"),
        ({"holdout": 1.0}, "'holdout' must be in"),
        ({"seed": -1}, "'seed' must be in"),
        ({"sampling": "measured"}, "'sampling' must be uniform or measured=S"),
        ({"sampling": "measured=2"}, "'sampling' must be uniform or measured=S"),
    ],
)
def test_errors(values, message):
    with pytest.raises(RunError, match=message):
        PretrainConfig(**values)


def test_json_and_sampling():
    config = PretrainConfig(sampling="measured=0.5", max_steps=7)
    assert config.measured_share == 0.5
    assert PretrainConfig().measured_share is None
    assert PretrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    with pytest.raises(RunError, match="unknown pretraining setting 'wings'"):
        PretrainConfig.from_json({"wings": 2})


def test_resume_may_change_how_long_and_where():
    PretrainConfig(epochs=5, max_steps=4, device="cpu").check_resumes(PretrainConfig())
    with pytest.raises(RunError, match=r"started with lr=0\.0001 and cannot go on with 0\.1"):
        PretrainConfig(lr=0.1).check_resumes(PretrainConfig())
