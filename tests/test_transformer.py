"""The scikit-learn transformer: what `embed` gives, wherever scikit-learn copies, sends or wraps it."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator

import infoalign_dgl
from infoalign_dgl import InfoAlignTransformer
from infoalign_dgl.errors import InfoAlignError, MoleculeError, RunError
from infoalign_dgl.models import InfoAlign, ModelConfig
from infoalign_dgl.training import PretrainConfig
from infoalign_dgl.training.checkpoint import Progress, save_checkpoint
from infoalign_dgl.training.run_folder import RunConfig, write_config
from infoalign_dgl.transformer import _loaded

SMILES = ["CCO", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "C", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "OCC(O)CO"]
LABELS = [0, 1, 1, 0, 1, 0]

NUMBERS = "the input is strings, and what numbers it would refuse is not asked"
EXPECTED_FAILED_CHECKS = {
    "check_complex_data": NUMBERS,
    "check_estimators_nan_inf": NUMBERS,
    "check_estimators_empty_data_messages": "no rows give no vectors, row for row, as for `embed`",
    "check_n_features_in": "a column of strings has no number of features, as for CountVectorizer",
    "check_n_features_in_after_fitting": "as for check_n_features_in",
    "check_fit2d_predict1d": "one dimension is what a list of SMILES has",
}


def write_run(folder, *, shift=0.0):
    folder.mkdir(exist_ok=True)
    config = ModelConfig(hidden=24, layers=2, spaces={"a": 3}, modality={"a": "molecule"})
    write_config(folder, RunConfig(config, PretrainConfig(), {}))
    torch.manual_seed(0)
    model = InfoAlign(config)
    optimizer = torch.optim.Adam(model.parameters())
    save_checkpoint(folder, model, optimizer, Progress(1, best_step=1), keep=2)
    with torch.no_grad():
        model.bottleneck.linear.bias.add_(1 + shift)
    save_checkpoint(folder, model, optimizer, Progress(2, best_step=2), keep=2)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def vectors(run):
    return np.asarray(infoalign_dgl.load(run).embed(SMILES))


class FromNumbers(InfoAlignTransformer):
    """Each row of numbers picks a molecule, so that scikit-learn's checks, which bring numbers, reach it."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array = False, True
        return tags

    def fit(self, X, y=None):
        return super().fit(self.picked(X), y)

    def transform(self, X):
        return super().transform(self.picked(X))

    def picked(self, X):
        rows = X if hasattr(X, "tocsr") else np.asarray(X)
        if hasattr(rows, "tocsr") or rows.ndim != 2:
            return rows
        places = (np.abs(rows.astype(np.complex128).sum(axis=1)) * 1000).astype(np.int64) % len(SMILES)
        return [SMILES[place] for place in places]


def test_scikit_learns_checks_pass_where_they_apply_to_strings(run):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of checks that do odd things on purpose
        found = check_estimator(
            FromNumbers(run), expected_failed_checks=EXPECTED_FAILED_CHECKS, on_fail=None, on_skip=None
        )
    status = {(each["check_name"], each["status"]) for each in found}
    assert [name for name, how in status if how == "failed"] == []
    assert {name for name, how in status if how == "xfail"} == set(EXPECTED_FAILED_CHECKS)
    assert {name for name, how in status if how == "skipped"} <= {"check_array_api_input"}
    passed = {name for name, how in status if how == "passed"}
    assert len(passed) >= 25
    assert {
        "check_dict_unchanged",
        "check_estimators_pickle",
        "check_fit_idempotent",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
        "check_parameters_default_constructible",
        "check_transformer_general",
        "check_transformers_unfitted_stateless",
    } <= passed


def test_tags_say_that_it_takes_strings(run):
    tags = get_tags(InfoAlignTransformer(run))
    assert tags.input_tags.string
    assert tags.input_tags.one_d_array
    assert not tags.input_tags.two_d_array
    assert not tags.requires_fit
    assert [
        get_tags(InfoAlignTransformer(run, on_error=how)).input_tags.allow_nan for how in ("raise", "nan")
    ] == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    "column",
    [
        SMILES,
        tuple(SMILES),
        np.array(SMILES),
        np.array(SMILES, dtype=object),
        np.array(SMILES)[:, None],
        [[text] for text in SMILES],
        pd.Series(SMILES, index=range(10, 16)),
        pd.Series(SMILES, dtype=object),
        pd.Series(SMILES, dtype="string"),
        pd.Series(SMILES, dtype="category"),
        pd.DataFrame({"smiles": SMILES}),
    ],
    ids=lambda column: type(column).__name__,
)
def test_any_column_of_strings_gives_what_embed_gives(run, vectors, column):
    transformed = InfoAlignTransformer(run).fit_transform(column)
    assert type(transformed) is np.ndarray
    assert transformed.dtype == np.float32
    assert np.array_equal(transformed, vectors)
    assert np.array_equal(InfoAlignTransformer(str(run)).transform(column), vectors)


def test_no_rows_give_no_vectors(run):
    assert InfoAlignTransformer(run).fit_transform([]).shape == (0, 24)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("CCO", "not a single string"),
        ([["CCO", "C"]], r"one column, and the input has the shape \(1, 2\)"),
        (["CCO", 3], "row 1 of the input is 3, which is no string"),
        (np.ones((2, 1)), "row 0 of the input is 1.0"),
        ([["CCO"], ["C", "N"]], "no string|no array"),
        (csr_matrix(np.eye(2)), "sparse input is not supported"),
        (3, r"shape \(\)"),
    ],
)
def test_what_is_no_column_of_strings_is_refused(run, column, words):
    for method in ("fit", "transform"):
        with pytest.raises(MoleculeError, match=words):
            getattr(InfoAlignTransformer(run, on_error="nan"), method)(column)


def test_a_molecule_that_cannot_be_read_is_named_or_a_row_of_nan(run, vectors):
    given = ["CCO", "not a molecule", None, float("nan"), pd.NA, ""]
    with pytest.raises(ValueError, match=r"row 1 of the input, 'not a molecule', .* \(5 of 6 rows") as caught:
        InfoAlignTransformer(run).fit(given).transform(given)
    assert isinstance(caught.value, InfoAlignError)
    transformed = InfoAlignTransformer(run, on_error="nan").transform(given)
    assert np.abs(transformed[0] - vectors[0]).max() < 1e-5
    assert np.isnan(transformed[1:]).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"on_error": "skip"}, "'on_error' must be"), ({"batch_size": 0}, "'batch_size' must be at least 1")],
)
def test_settings_are_checked_when_used_not_when_made(run, settings, words):
    transformer = InfoAlignTransformer(run).set_params(**settings)
    with pytest.raises(ValueError, match=words):
        transformer.fit(SMILES)
    with pytest.raises(ValueError, match=words):
        transformer.transform(SMILES)


def test_what_is_no_run_is_one_sentence(tmp_path, run):
    transformer = InfoAlignTransformer(tmp_path / "none")
    for use in (transformer.fit, transformer.transform, transformer.get_feature_names_out):
        with pytest.raises(RunError, match="none"):
            use(SMILES)
    with pytest.raises(RunError, match="step 7"):
        InfoAlignTransformer(run, step=7).transform(SMILES)


def test_checkpoints_and_runs_are_told_apart_and_read_again_when_they_change(tmp_path, vectors):
    run = write_run(tmp_path / "run")
    transformer = InfoAlignTransformer(run)
    assert np.array_equal(transformer.transform(SMILES), vectors)
    first = InfoAlignTransformer(run, step=1).transform(SMILES)
    assert np.array_equal(first, np.asarray(infoalign_dgl.load(run, step=1).embed(SMILES)))
    assert np.abs(first - vectors).min() > 0.5
    assert np.array_equal(transformer.set_params(step=1).transform(SMILES), first)
    write_run(run, shift=1)
    assert np.abs(transformer.set_params(step=None).transform(SMILES) - vectors - 1).max() < 1e-5


def test_output_can_be_pandas_with_the_rows_of_the_input(run, vectors):
    transformer = InfoAlignTransformer(run).set_output(transform="pandas")
    for column in (
        pd.Series(SMILES, index=list("abcdef")),
        pd.DataFrame({"s": SMILES}, index=list("abcdef")),
    ):
        table = transformer.fit_transform(column)
        assert list(table.columns) == [f"embedding_{place}" for place in range(24)]
        assert list(table.index) == list("abcdef")
        assert np.array_equal(table.to_numpy(), vectors)
    assert list(transformer.get_feature_names_out()) == list(table.columns)


def test_a_column_transformer_takes_the_column_either_way(run, vectors):
    table = pd.DataFrame({"smiles": SMILES, "dose": [1.0, 2, 3, 4, 5, 6]})
    for columns in ("smiles", ["smiles"]):
        transformer = ColumnTransformer(
            [("molecule", InfoAlignTransformer(run), columns), ("rest", "passthrough", ["dose"])]
        )
        together = transformer.fit_transform(table)
        assert np.allclose(together, np.column_stack([vectors, table["dose"]]))
        names = transformer.get_feature_names_out()
        assert [names[0], names[23], names[24]] == [
            "molecule__embedding_0",
            "molecule__embedding_23",
            "rest__dose",
        ]


def test_clones_and_pickles_hold_settings_and_no_weights(run, vectors):
    transformer = InfoAlignTransformer(run, step=2, device="cpu", batch_size=6, on_error="nan")
    assert np.array_equal(transformer.fit(SMILES).transform(SMILES), vectors)
    assert vars(transformer) == transformer.get_params()
    stored = pickle.dumps(transformer)
    assert len(stored) < 1000
    _loaded.cache_clear()  # as in a process that has not read the run
    for copy in (pickle.loads(stored), clone(transformer)):
        assert copy.get_params() == transformer.get_params()
        assert np.array_equal(copy.transform(SMILES), vectors)
    assert _loaded.cache_info().misses == 1


def test_a_fitted_pipeline_is_the_same_after_pickling(run):
    pipeline = make_pipeline(InfoAlignTransformer(run), StandardScaler(), LogisticRegression())
    expected = pipeline.fit(SMILES, LABELS).predict_proba(SMILES)
    stored = pickle.dumps(pipeline)
    _loaded.cache_clear()
    assert np.array_equal(pickle.loads(stored).predict_proba(SMILES), expected)


GRID_SEARCHES = """
import json, sys
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from infoalign_dgl import InfoAlignTransformer

molecules, labels = json.loads(sys.argv[2])
pipeline = make_pipeline(InfoAlignTransformer(sys.argv[1]), StandardScaler(), LogisticRegression(C=1e-3))
grid = {"infoaligntransformer__step": [1, 2], "logisticregression__C": [0.01, 1.0]}
searches = [
    GridSearchCV(pipeline, grid, cv=3, n_jobs=jobs, scoring="neg_log_loss").fit(molecules, labels)
    for jobs in (1, 2)
]
scores = [search.cv_results_["mean_test_score"].tolist() for search in searches]
print(json.dumps({"scores": scores, "predicted": searches[0].predict(molecules).tolist()}))
"""


def test_grid_searches_give_the_same_in_processes_and_without(run):
    """In a program of its own, as a user has it: no processes or threads are left of other tests."""
    molecules, labels = SMILES * 3, LABELS * 3
    given = json.dumps([molecules, labels])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", GRID_SEARCHES, str(run), given],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    one, two = map(np.array, found["scores"])
    assert np.isfinite(one).all()
    assert np.allclose(one, two, atol=1e-5)
    assert len(np.unique(one.round(6))) > 1  # the settings reach the encoder and the classifier
    assert found["predicted"] == labels


def test_cross_validation_predicts_every_row(run):
    molecules, labels = SMILES * 3, LABELS * 3
    pipeline = make_pipeline(InfoAlignTransformer(run), StandardScaler(), LogisticRegression(C=1e-3))
    assert cross_val_predict(pipeline, molecules, labels, cv=3).shape == (18,)
