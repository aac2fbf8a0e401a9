import threading

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation import heads as heads_module
from infoalign_dgl.evaluation._head_stack import HeadStack, Rows, _blocks, forward, order_of_tasks
from infoalign_dgl.evaluation._supervision import EarlyStopping, loss_gradient
from infoalign_dgl.evaluation._validation import Validation
from infoalign_dgl.evaluation.heads import HeadConfig, fit_mlp_heads, train_heads
from infoalign_dgl.evaluation.splits import Split

SPLIT = Split(np.arange(0, 120), np.arange(120, 160), np.arange(160, 200))
SHORT = HeadConfig(epochs=12, max_hidden=32, batch_size=64)
CPU = torch.device("cpu")


def problem(seed=0, n=200, d=6, tasks=5, kind="binary", missing=0.4):
    """Tasks of which each is a linear function of the features, labels missing from never to often."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(np.float32)
    y = x @ rng.normal(size=(d, tasks))
    if kind == "binary":
        y = (y > 0).astype(float)
    y[rng.random(y.shape) < np.roll(np.linspace(0, 2 * missing, tasks), 2)] = np.nan
    return x, y


def plain(features, hidden, tasks, dropout=0.0):
    return nn.Sequential(
        nn.Linear(features, hidden),
        nn.BatchNorm1d(hidden),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, tasks),
    )


@pytest.mark.parametrize("kind", ["binary", "regression"])
@pytest.mark.parametrize("batch_size", [256, 64, 50])
def test_steps_of_a_stack_are_those_of_torch_layers(kind, batch_size):
    x, y = problem(kind=kind)
    x, y = torch.from_numpy(x[:120]), torch.from_numpy(y[:120]).float()
    order, common = order_of_tasks(y.numpy())
    assert 0 < common < y.shape[1]
    rows = Rows.of(x, y[:, order], common)
    config = HeadConfig(max_hidden=16, dropout=0.0, batch_size=batch_size, lr=1e-2, weight_decay=1e-2)
    stack = HeadStack(rows, kind, [3, 4], config)
    models = [plain(6, 16, 5).train() for _ in range(2)]
    with torch.no_grad():
        for seed, (expand, _, _, _, output) in enumerate(models):
            expand.weight.copy_(stack.parameters["expand"][seed].T)
            expand.bias.zero_()  # BatchNorm takes it out; left to Adam it would walk on rounding errors
            expand.bias.requires_grad_(False)
            output.weight.copy_(stack.parameters["output"][seed].T)
            output.bias.copy_(stack.parameters["bias"][seed, 0])
    draws = [np.random.Generator(np.random.SFC64(seed)) for seed in (3, 4)]
    for draw in draws:  # what the starting weights took
        for shape in ((6, 16), (16, 5), (1, 5)):
            draw.random(shape, np.float32)
    optimizers = [torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-2) for model in models]
    for _ in range(5):
        stack.train_epoch()
        for model, optimizer, draw in zip(models, optimizers, draws, strict=True):
            whole = np.arange(120) if batch_size >= 120 else draw.permutation(120)
            for start in range(0, 120, batch_size):
                some = whole[start : start + batch_size]
                out, want = model(rows.x[some]), rows.y[some]
                seen = ~want.isnan()
                if kind == "binary":
                    loss = nn.functional.binary_cross_entropy_with_logits(out[seen], want[seen])
                else:
                    loss = nn.functional.l1_loss(out[seen], want[seen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    got = forward(x, stack.folded())
    for seed, model in enumerate(models):
        torch.testing.assert_close(got[seed], model.eval()(x), rtol=2e-3, atol=2e-3)
        assert (got[seed] - got[1 - seed]).abs().max() > 0.1


def test_starting_weights_are_uniform_as_those_of_linear():
    x, y = torch.randn(50, 100), torch.zeros(50, 3)
    start = HeadStack(Rows.of(x, y, 3), "binary", [0], HeadConfig()).parameters
    assert start["expand"].shape == (1, 100, 400)
    for name, fan_in in (("expand", 100), ("output", 400)):
        bound = fan_in**-0.5
        assert start[name].abs().max() <= bound
        assert start[name].std() == pytest.approx(bound / 3**0.5, rel=0.03)


def test_dropout_keeps_its_share_and_the_mean():
    x, y = torch.randn(500, 20), torch.zeros(500, 3)
    for share in (0.5, 0.2):
        stack = HeadStack(Rows.of(x, y, 3), "binary", [0, 1], HeadConfig(dropout=share))
        mask = stack._mask(torch.Size((2, 500, 80)))
        assert (mask == 0).float().mean() == pytest.approx(share, abs=0.01)
        assert mask.mean() == pytest.approx(1, abs=0.01)
        assert not torch.equal(mask[0], mask[1])


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_loss_gradient_is_that_of_autograd(kind):
    torch.manual_seed(0)
    out, want = torch.randn(2, 7, 4, requires_grad=True), torch.rand(2, 7, 4).round()
    want[torch.rand(2, 7, 4) < 0.3] = torch.nan
    seen = ~want.isnan()
    loss = nn.functional.binary_cross_entropy_with_logits if kind == "binary" else nn.functional.l1_loss
    sum(loss(out[g][seen[g]], want[g][seen[g]]) for g in range(2)).backward()
    got = loss_gradient(out.detach(), want, seen.sum((1, 2), keepdim=True), kind)
    torch.testing.assert_close(got, out.grad)
    assert (got[~seen] == 0).all()


def test_a_seed_gets_the_same_bits_alone_and_beside_others():
    x, y = problem()
    alone = fit_mlp_heads(x, y, SPLIT, "binary", [5], SHORT, device="cpu").values
    beside = fit_mlp_heads(x, y, SPLIT, "binary", [1, 5, 9], SHORT, device="cpu").values
    np.testing.assert_array_equal(alone[0], beside[1])
    assert np.abs(beside[0] - beside[1]).max() > 0.01


def test_a_stack_of_seeds_trains_each_as_if_alone():
    x, y = problem()
    rows = Rows.of(torch.from_numpy(x), torch.from_numpy(y).float(), 3)
    together = HeadStack(rows, "binary", [1, 5, 9], SHORT)
    for _ in range(3):
        together.train_epoch()
    together.keep([1, 2])  # what a seed that is over leaves behind
    for _ in range(3):
        together.train_epoch()
    for place, seed in enumerate((5, 9)):
        alone = HeadStack(rows, "binary", [seed], SHORT)
        for _ in range(6):
            alone.train_epoch()
        # A product of several seeds' matrices may add up in another order than one seed's.
        for name, got in together.folded().items():
            torch.testing.assert_close(got[place], alone.folded()[name][0], rtol=1e-4, atol=1e-4)


def test_seeds_as_one_stack_are_as_good_as_seeds_in_threads(monkeypatch):
    """What a GPU does, on a CPU: seeds leave the stack one after the other."""
    x, y = problem()
    config = HeadConfig(epochs=60, patience=3, max_hidden=16, lr=0.02)
    want = train_heads(x, y, SPLIT, "binary", [0, 1, 2], config, device="cpu")
    monkeypatch.setattr(heads_module, "_one_by_one", lambda work, seeds: [heads_module._train(work, seeds)])
    done = []
    got = train_heads(
        x, y, SPLIT, "binary", [0, 1, 2], config, device="cpu", progress=lambda *each: done.append(each)
    )
    assert got.notes == want.notes
    assert len(set(got.notes[0].split("was ")[1].rstrip(".").split(", "))) > 1
    assert done[-1] == (180, 180)
    np.testing.assert_allclose(got.predict(x), want.predict(x), rtol=1e-3, atol=1e-3)


def test_linear_tasks_are_learnt():
    config = HeadConfig(epochs=60, max_hidden=64, lr=1e-2)
    x, y = problem(n=400, kind="binary")
    split = Split(np.arange(300), np.arange(300, 350), np.arange(350, 400))
    found = fit_mlp_heads(x, y, split, "binary", [0], config).values[0]
    for task in range(y.shape[1]):
        seen = split.test[~np.isnan(y[split.test, task])]
        assert roc_auc_score(y[seen, task], found[seen, task]) > 0.9
    assert ((found >= 0) & (found <= 1)).all()
    x, y = problem(n=400, kind="regression")
    y = 100 * y + 1000
    found = fit_mlp_heads(x, y, split, "regression", [0], config).values[0]
    error = np.nanmean(np.abs(found - y)[split.test], axis=0)
    assert (error < 0.5 * np.nanstd(y[split.test], axis=0)).all()


def test_what_is_not_observed_or_of_test_has_no_influence():
    x, y = problem()
    first = fit_mlp_heads(x, y, SPLIT, "binary", [0], SHORT).values
    changed = y.copy()
    changed[SPLIT.test] = 1 - changed[SPLIT.test]
    np.testing.assert_array_equal(first, fit_mlp_heads(x, changed, SPLIT, "binary", [0], SHORT).values)
    # Of a row that has no label at all, only BatchNorm's statistics are left; out of train, nothing is.
    changed, other = y.copy(), x.copy()
    changed[SPLIT.valid[3]] = np.nan
    first = fit_mlp_heads(x, changed, SPLIT, "binary", [0], SHORT).values
    other[SPLIT.valid[3]] = 50
    again = fit_mlp_heads(other, changed, SPLIT, "binary", [0], SHORT).values
    keep = np.arange(200) != SPLIT.valid[3]
    np.testing.assert_array_equal(first[:, keep], again[:, keep])


def test_tasks_and_rows_that_cannot_be_used_are_nan_and_said():
    x, y = problem()
    y[SPLIT.train, 1] = 1  # one class
    y[:, 3] = np.nan
    x[[7, 170]] = np.nan
    found = fit_mlp_heads(x, y, SPLIT, "binary", [0, 1], SHORT)
    assert np.isnan(found.values[:, :, [1, 3]]).all()
    assert np.isnan(found.values[:, [7, 170]]).all()
    rest = np.setdiff1d(np.arange(200), [7, 170])
    assert np.isfinite(found.values[:, rest][..., [0, 2, 4]]).all()
    assert found.values.dtype == np.float32
    assert "2 of 5 tasks were not trained: one class in train (1), no label (1)." in found.notes
    assert "1 rows of train and valid have no features and were not used." in found.notes


def test_without_labels_in_valid_the_last_epoch_is_taken():
    x, y = problem()
    y[SPLIT.valid] = np.nan
    found = fit_mlp_heads(x, y, SPLIT, "binary", [0], SHORT)
    assert np.isfinite(found.values).all()
    assert found.notes[-1].startswith("No task can be scored on the validation rows")


def test_what_cannot_be_trained_is_refused_in_a_sentence():
    x, y = problem()
    with pytest.raises(EvaluationError, match=r"none of the 5 tasks can be trained \(no label \(5\)\)"):
        fit_mlp_heads(x, np.full_like(y, np.nan), SPLIT, "binary", [0], SHORT)
    with pytest.raises(EvaluationError, match="1 of the 1 train rows"):
        fit_mlp_heads(x, y, Split(SPLIT.train[:1], SPLIT.valid, SPLIT.test), "binary", [0], SHORT)
    x[4, 2] = np.inf
    with pytest.raises(EvaluationError, match="row 4 of the features holds an infinite value"):
        fit_mlp_heads(x, y, SPLIT, "binary", [0], SHORT)


def test_the_best_epoch_is_kept_and_patience_ends_training():
    stop = EarlyStopping(1, 2, scored=True)
    best = [stop.is_best(0, epoch, score) for epoch, score in enumerate([0.5, 0.7, 0.7, float("nan"), 0.1])]
    assert best == [True, True, False, False, False]
    assert stop.is_over(0)  # 3 epochs after the best one are more than 2
    assert stop.best_epoch == [1]
    x, y = problem()
    many = HeadConfig(epochs=200, patience=5, max_hidden=32, lr=0.05)
    done = []
    heads = train_heads(x, y, SPLIT, "binary", [0, 1], many, progress=lambda *counts: done.append(counts))
    assert done[-1] == (400, 400)
    assert len(done) < 400
    validation = Validation.of(y[SPLIT.valid], "binary", CPU)
    values = torch.from_numpy(heads.predict(x)[:, SPLIT.valid])
    assert validation.scores(values).min() > 0.8


def test_an_interruption_ends_all_threads():
    x, y = problem()

    def interrupt(done, total):
        if done > 20:
            raise KeyboardInterrupt

    before, threads = torch.get_num_threads(), threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        fit_mlp_heads(
            x, y, SPLIT, "binary", range(4), HeadConfig(max_hidden=32), progress=interrupt, device="cpu"
        )
    assert (torch.get_num_threads(), threading.active_count()) == (before, threads)


@pytest.mark.parametrize("ties", [False, True])
def test_validation_scores_are_those_of_scikit_learn(ties):
    rng = np.random.default_rng(0)
    y = (rng.random((150, 20)) < rng.uniform(0, 0.5, 20)).astype(float)
    y[rng.random(y.shape) < rng.uniform(0, 0.95, 20)] = np.nan
    values = rng.normal(size=(3, 150, 20)).astype(np.float32)
    if ties:
        values = np.round(values)
        values[values == 0] *= rng.choice([-1, 1], (values == 0).sum())  # -0.0 ties with 0.0
    auc = [
        [
            roc_auc_score(y[seen, t], v[seen, t])
            for t in range(20)
            for seen in [~np.isnan(y[:, t])]
            if len(set(y[seen, t])) == 2
        ]
        for v in values
    ]
    assert len(auc[0]) < 20
    validation = Validation.of(y, "binary", CPU)
    assert len(validation.groups) > 1
    np.testing.assert_allclose(validation.scores(torch.from_numpy(values)), np.mean(auc, axis=1), rtol=1e-12)
    error = -np.nanmean(np.abs(values - y), axis=1).mean(axis=1)
    got = Validation.of(y, "regression", CPU).scores(torch.from_numpy(values))
    np.testing.assert_allclose(got, error, rtol=1e-6)
    values[1, np.flatnonzero(~np.isnan(y[:, 2]))[0], 2] = np.nan
    assert validation.scores(torch.from_numpy(values)).isnan().tolist() == [False, True, False]


def test_the_order_of_tasks_saves_the_most_of_all_cuts():
    rng = np.random.default_rng(1)
    y = rng.random((60, 12))
    y[rng.random(y.shape) < np.repeat([0.1, 0.95], 6)] = np.nan
    order, common = order_of_tasks(y)
    rows = Rows.of(torch.from_numpy(y), torch.from_numpy(y[:, order]), common)

    def cost(c):
        return c * 60 + (12 - c) * (~np.isnan(y[:, order[c:]])).any(axis=1).sum()

    assert cost(common) == min(cost(c) for c in range(1, 13))
    assert cost(common) == sum(
        (some.stop - some.start) * (tasks.stop - tasks.start) for some, tasks in rows.blocks()
    )
    covered = np.zeros((60, 12), bool)
    for some, tasks in _blocks(60, rows.rare_rows, common, 12):
        covered[some, tasks] = True
    assert not (~covered & ~rows.y.isnan().numpy()).any()


def test_ten_thousand_tasks_of_which_most_are_empty():
    x, _ = problem()
    y = np.full((200, 10_000), np.nan)
    y[:, ::2500] = problem(tasks=4)[1]
    values = fit_mlp_heads(x, y, SPLIT, "binary", [0], HeadConfig(epochs=2)).values
    assert np.isfinite(values).all(axis=1)[0].sum() == 4
