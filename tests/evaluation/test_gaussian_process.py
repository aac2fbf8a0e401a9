"""Gaussian processes: kernels against RDKit, posteriors and hyperparameters against closed forms in numpy."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
import torch
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from scipy.stats import multivariate_normal

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation import Split, gaussian_process
from infoalign_dgl.evaluation.gaussian_process import fit_gp, similarities

SMILES = ["CCO", "c1ccccc1", "CCCCCCCCCC", "CC(=O)Oc1ccccc1C(=O)O", "CCCCCCN", "C1CCCCC1", "CCO", "ClCCl"]
HYPERPARAMETERS = r"scale ([\d.e-]+), noise ([\d.e-]+)"


def problem(seed, n=90, tasks=4, missing=0.3, binary=True):
    rng = np.random.default_rng(seed)
    x = rng.poisson(0.6, (n, 24)).astype(np.float32)
    covariance = 0.8 * tanimoto(x, x) + 0.2 * np.eye(n)
    latent = rng.multivariate_normal(np.zeros(n), covariance, size=tasks).T
    labels = (latent > 0).astype(float) if binary else 50 + 7 * latent
    labels[rng.random(labels.shape) < missing] = np.nan
    rows = rng.permutation(n)
    split = Split(*(np.sort(part) for part in np.split(rows, [int(0.6 * n), int(0.75 * n)])))
    return x, labels, split


def tanimoto(a, b):
    return np.minimum(a[:, None], b).sum(-1) / np.maximum(a[:, None], b).sum(-1)


def hyperparameters(notes):
    return [float(number) for number in re.search(HYPERPARAMETERS, " ".join(notes)).groups()]


def posterior(kernel, rows, y, noise):
    """Mean and variance of all rows (Rasmussen and Williams 2006, equations 2.23 and 2.24)."""
    inverse = np.linalg.inv(kernel[np.ix_(rows, rows)] + noise * np.eye(len(rows)))
    cross = kernel[:, rows]
    return cross @ inverse @ y, np.diag(kernel) - np.einsum("ij,jk,ik->i", cross, inverse, cross)


@pytest.mark.parametrize("counts", [True, False])
def test_tanimoto_kernel_is_that_of_rdkit(counts):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=256)
    molecules = [Chem.MolFromSmiles(text) for text in SMILES]
    if counts:
        vectors = [generator.GetCountFingerprint(molecule) for molecule in molecules]
        x = np.stack([generator.GetCountFingerprintAsNumPy(m) for m in molecules]).astype(np.float32)
        assert x.max() > 5
    else:
        vectors = [generator.GetFingerprint(molecule) for molecule in molecules]
        x = np.stack([generator.GetFingerprintAsNumPy(m) for m in molecules]).astype(np.float32)
    expected = [DataStructs.BulkTanimotoSimilarity(vector, vectors[:5]) for vector in vectors]
    np.testing.assert_allclose(similarities(x, x[:5], "tanimoto"), expected, rtol=1e-6)


def test_tanimoto_kernel_of_rows_of_zeros_stays_a_kernel():
    found = similarities(np.zeros((2, 3), np.float32), np.eye(3, dtype=np.float32), "tanimoto")
    assert (found == 0).all()
    nothing = np.zeros((2, 3), np.float32)
    assert (similarities(nothing, nothing, "tanimoto") == 1).all()


def test_other_kernels():
    x = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    distances = ((x[:, None] - x[:4]) ** 2).sum(-1)
    np.testing.assert_allclose(similarities(x, x[:4], "rbf"), distances, atol=1e-5)
    np.testing.assert_allclose(similarities(x, x[:4], "linear"), x @ x[:4].T / 5, atol=1e-6)


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_posterior_is_the_closed_form(kind):
    x, labels, split = problem(1, n=250, binary=kind == "binary")
    labels[:, 3] = np.where(np.isnan(labels[:, 2]), np.nan, labels[:, 3])  # tasks 2 and 3 share their rows
    labels[:, 2] = np.where(np.isnan(labels[:, 3]), np.nan, labels[:, 2])
    found = fit_gp(x, labels, split, kind, [0, 5])
    scale, noise = hyperparameters(found.notes)
    assert noise > 0.1
    kernel = scale * tanimoto(x, x)
    for task in range(4):
        rows = split.train[~np.isnan(labels[split.train, task])]
        y = labels[rows, task]
        mean, variance = posterior(kernel, rows, (y - y.mean()) / y.std(), noise)
        values, spread = y.mean() + y.std() * mean, y.std() * np.sqrt(variance)
        if kind == "binary":
            values = values.clip(0, 1)
        else:
            spread = y.std() * np.sqrt(variance + noise)
        # The note gives three digits of the hyperparameters.
        np.testing.assert_allclose(found.values[0, :, task], values, atol=0.01 * y.std())
        np.testing.assert_allclose(found.spread[0, :, task], spread, atol=0.01 * y.std())
    np.testing.assert_array_equal(found.values[0], found.values[1])
    np.testing.assert_array_equal(found.spread[0], found.spread[1])


def test_hyperparameters_have_the_largest_marginal_likelihood():
    x, labels, split = problem(2, n=200, tasks=6, missing=0.2, binary=False)
    scale, noise = hyperparameters(fit_gp(x, labels, split, "regression", [0]).notes)

    def evidence(scale, noise):
        total = 0
        for task in range(6):
            rows = split.train[~np.isnan(labels[split.train, task])]
            y = labels[rows, task]
            covariance = scale * tanimoto(x[rows], x[rows]) + noise * np.eye(len(rows))
            total += multivariate_normal(cov=covariance).logpdf((y - y.mean()) / y.std()) / len(y)
        return total

    best = evidence(scale, noise)
    for factor in (0.8, 1.25):
        assert evidence(scale * factor, noise) < best
        assert evidence(scale, noise * factor) < best


def test_rbf_finds_lengthscale_and_closed_form():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(160, 2)).astype(np.float32) * 30
    truth = np.exp(-0.5 * ((x[:, None] - x) ** 2).sum(-1) / 20**2)
    labels = rng.multivariate_normal(np.zeros(160), truth + 0.05 * np.eye(160), size=6).T
    split = Split(np.arange(100), np.arange(100, 120), np.arange(120, 160))
    found = fit_gp(x, labels, split, "regression", [0], kernel="rbf")
    length = float(found.notes[-1].split("lengthscale ")[1].split(",")[0])
    scale, noise = hyperparameters(found.notes)
    assert 14 < length < 28
    kernel = scale * np.exp(-0.5 * ((x[:, None] - x) ** 2).sum(-1) / length**2)
    y = labels[split.train, 2]
    mean, variance = posterior(kernel, split.train, (y - y.mean()) / y.std(), noise)
    np.testing.assert_allclose(found.values[0, :, 2], y.mean() + y.std() * mean, atol=0.03)
    np.testing.assert_allclose(found.spread[0, :, 2], y.std() * np.sqrt(variance + noise), atol=0.03)
    error = np.abs(labels - found.values[0])[split.test] / found.spread[0][split.test]
    assert 0.55 < (error < 1).mean() < 0.8  # 0.68 of a normal distribution


def test_heavy_tailed_features_have_a_kernel_that_can_be_factored():
    """A sum over atoms puts a few molecules hundreds of deviations out, and near each other."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((120, 60)).astype(np.float32)
    far = x[:30] * 0.01 + 2_000  # where float32 rounds a distance of 0.1 by 30
    x = np.concatenate([x, far.astype(np.float32)])
    distances = similarities(x, x, "rbf")
    exact = np.square(x[:, None].astype(float) - x).sum(-1)
    np.testing.assert_allclose(distances, exact, rtol=1e-6, atol=1e-5)
    labels = (x[:, :3] + 0.1 * rng.standard_normal((len(x), 3))).astype(float)
    split = Split(*(np.sort(part) for part in np.split(rng.permutation(len(x)), [100, 110])))
    found = fit_gp(x, labels, split, "regression", [0], kernel="rbf")
    assert np.isfinite(found.values).all()


def test_smooth_labels_without_noise_are_learnt():
    """Whose likelihood rises with scale and lengthscale without end, until nothing can be factored."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 3)).astype(np.float32)
    labels = (x @ [1.0, 2.0, 3.0])[:, None] * np.ones((1, 2))
    split = Split(*(np.sort(part) for part in np.split(rng.permutation(len(x)), [220, 260])))
    found = fit_gp(x, labels, split, "regression", [0], kernel="rbf")
    np.testing.assert_allclose(found.values[0], labels, atol=0.1)  # labels have a deviation of 3.7


def test_what_cannot_be_factored_is_one_sentence(monkeypatch):
    x, labels, split = problem(seed=7)
    nothing = torch.full((len(x), len(split.train)), -1.0)
    prior = gaussian_process._Prior(nothing, torch.ones(len(x)).double(), split.train, 1e-3)
    monkeypatch.setattr(gaussian_process, "_prior", lambda *_: (prior, []))
    with pytest.raises(EvaluationError, match="cannot be factored"):
        fit_gp(x, labels, split, "binary", [0])


def test_linear_kernel_is_bayesian_linear_regression():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(80, 3)).astype(np.float32)
    labels = (x @ [1.0, -2.0, 0.5] + 0.2 * rng.normal(size=80))[:, None]
    split = Split(np.arange(50), np.arange(50, 60), np.arange(60, 80))
    found = fit_gp(x, labels, split, "regression", [0], kernel="linear")
    np.testing.assert_allclose(found.values[0, 60:, 0], labels[60:, 0], atol=0.5)
    assert found.spread.max() < 0.2 * labels.std()


def test_approximation_through_all_train_rows_is_exact(monkeypatch):
    x, labels, split = problem(5)
    exact = fit_gp(x, labels, split, "binary", [0])
    monkeypatch.setattr(gaussian_process, "MAX_EXACT", 20)
    monkeypatch.setattr(gaussian_process, "NUM_INDUCING", 40)
    fewer = fit_gp(x, labels, split, "binary", [0])
    assert any("approximate: of 54 train rows it goes through 40" in note for note in fewer.notes)
    assert np.abs(exact.values - fewer.values).mean() < 0.1
    monkeypatch.setattr(gaussian_process, "NUM_INDUCING", len(split.train) - 1)
    nearly = fit_gp(x, labels, split, "binary", [0])
    assert np.abs(exact.values - nearly.values).mean() < np.abs(exact.values - fewer.values).mean()
    prior = gaussian_process._Prior(
        torch.from_numpy(0.7 * similarities(x, x[split.train], "tanimoto")),
        torch.full((len(x),), 0.7, dtype=torch.float64),
        split.train,
        noise=0.3,
    )
    labels = torch.from_numpy(np.random.default_rng(0).normal(size=(54, 2)))
    through = gaussian_process._through_base(prior)
    for got, expected in zip(
        gaussian_process._approximate(prior, through, split.train, labels),
        gaussian_process._exact(prior, split.train, labels),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, atol=1e-4)


def test_degenerate_tasks_and_rows_without_features_are_nan_and_counted():
    x, labels, split = problem(6)
    labels[:, 0], labels[:, 1] = np.nan, np.where(np.isnan(labels[:, 1]), np.nan, 1.0)
    x[[3, 8]] = np.nan
    steps = []
    found = fit_gp(x, labels, split, "binary", [0], progress=lambda *step: steps.append(step))
    assert np.isnan(found.values[0, :, :2]).all()
    assert np.isnan(found.values[0, [3, 8]]).all()
    assert np.isnan(found.spread[0, [3, 8]]).all()
    others = np.delete(found.values[0, :, 2:], [3, 8], axis=0)
    assert ((others >= 0) & (others <= 1)).all()
    assert any("2 of 4 tasks were not trained" in note for note in found.notes)
    assert steps[-1] == (2, 2)


def test_what_cannot_be_done_is_said():
    x, labels, split = problem(7)
    with pytest.raises(EvaluationError, match=r"column 2 of row 1 holds 0\.5"):
        y = x.copy()
        y[1, 2] = 0.5
        fit_gp(y, labels, split, "binary", [0])
    with pytest.raises(EvaluationError, match="no kernel 'cosine'"):
        fit_gp(x, labels, split, "binary", [0], kernel="cosine")
    x[4, 0] = np.inf
    with pytest.raises(EvaluationError, match="row 4 of the features holds an infinite value"):
        fit_gp(x, labels, split, "binary", [0])


def test_a_missing_gpytorch_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "infoalign_dgl.evaluation._gp_likelihood", None)
    with pytest.raises(EvaluationError, match=r"pip install 'infoalign-dgl\[evaluation\]'"):
        fit_gp(*problem(8), "binary", [0])
