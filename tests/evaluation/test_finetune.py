"""Predictors: what is trained, what is saved, and what they say of a table."""

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

import infoalign_dgl
from infoalign_dgl._folders import replace_text
from infoalign_dgl.errors import InfoAlignError
from infoalign_dgl.evaluation import prediction_table
from infoalign_dgl.evaluation._supervision import Targets
from infoalign_dgl.evaluation.finetune import ENCODER_LR, _Network, _Task, train_predictor
from infoalign_dgl.evaluation.heads import HeadConfig, train_heads
from infoalign_dgl.evaluation.prediction_table import predict_table
from infoalign_dgl.evaluation.predictor import CONFIG, TENSORS, TRAIN, load_predictor
from infoalign_dgl.evaluation.splits import Split
from infoalign_dgl.evaluation.tasks import TaskSet
from infoalign_dgl.models import InfoAlign, ModelConfig
from infoalign_dgl.molecules import standardized_graphs
from infoalign_dgl.training import PretrainConfig
from infoalign_dgl.training.checkpoint import Progress, save_checkpoint
from infoalign_dgl.training.run_folder import RunConfig, write_config

ENDS = ["O", "N", "Cl", "F", "S", "C#N", "C(=O)O", "OC"]
SMILES = [f"{'C' * length}{end}" for length in range(1, 11) for end in ENDS]
SMILES = [SMILES[place] for place in np.random.default_rng(0).permutation(len(SMILES))]
SPLIT = Split(np.arange(0, 80, 2), np.arange(1, 80, 4), np.arange(3, 80, 4))
SHORT = HeadConfig(epochs=6, max_hidden=16, batch_size=16)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[None, "reference"], ids=["own", "compat"], scope="module")
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    config = ModelConfig(
        hidden=16, layers=2, dropout=0.25, spaces={"a": 3}, modality={"a": "molecule"}, compat=request.param
    )
    write_config(folder, RunConfig(config, PretrainConfig(), {}))
    torch.manual_seed(0)
    save_checkpoint(folder, InfoAlign(config), None, Progress(1, best_step=1), keep=1)
    return folder


def make_tasks(kind="binary", smiles=SMILES):
    """Has nitrogen; is long; never measured."""
    labels = np.array([["N" in text, text.count("C") > 5, np.nan] for text in smiles], float)
    if kind == "regression":
        labels[:, 1] = [100 + 10 * text.count("C") for text in smiles]
    labels[5, 0] = np.nan
    return TaskSet(
        "toy", "toy.csv", list(smiles), [None] * len(smiles), ["n", "long", "none"], labels, kind, {}, []
    )


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_a_frozen_predictor_is_heads_on_standardized_embeddings(run, tmp_path, kind):
    representation = infoalign_dgl.load(run, device="cpu")
    tasks = make_tasks(kind)
    predictor = train_predictor(representation, tasks, SPLIT, [0, 7], config=SHORT)
    mu = np.asarray(representation.embed(SMILES)).astype(np.float64)
    features = (mu - mu[SPLIT.train].mean(axis=0)) / mu[SPLIT.train].std(axis=0)
    heads = train_heads(features.astype(np.float32), tasks.labels, SPLIT, kind, [0, 7], SHORT, device="cpu")
    values, reasons = predictor.predict(SMILES)
    np.testing.assert_allclose(values, heads.predict(features.astype(np.float32)), rtol=1e-3, atol=1e-3)
    assert reasons == [None] * len(SMILES)
    assert np.isnan(values[:, :, 2]).all()
    np.testing.assert_allclose(predictor.calibration.values, values[:, SPLIT.test], rtol=1e-5, atol=1e-6)

    predictor.save(tmp_path / "model")
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert names == {CONFIG, TENSORS, TRAIN, "SHA256SUMS"}
    loaded = load_predictor(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(loaded.predict(SMILES)[0], values)
    assert (loaded.tasks, loaded.seeds, loaded.about) == (predictor.tasks, predictor.seeds, predictor.about)
    assert loaded.heads.notes == predictor.heads.notes
    assert loaded.test_scores()[0] == predictor.test_scores()[0]
    np.testing.assert_array_equal(loaded.test_scores()[1], predictor.test_scores()[1])
    np.testing.assert_array_equal(loaded.calibration.labels, tasks.labels[SPLIT.test])


def test_finetuning_trains_an_encoder_per_seed_and_repeats(run, tmp_path):
    representation = infoalign_dgl.load(run, device="cpu")
    before = {name: each.clone() for name, each in representation.model.state_dict().items()}
    tasks = make_tasks()
    state = torch.get_rng_state()
    told = []
    both = train_predictor(
        representation, tasks, SPLIT, [0, 1], "finetune", SHORT, progress=lambda *each: told.append(each)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert told[-1] == (12, 12)
    for name, each in representation.model.state_dict().items():
        assert torch.equal(each, before[name])
    torch.rand(3)  # what the caller drew before is no matter
    again = train_predictor(representation, tasks, SPLIT, [1], "finetune", SHORT)
    values, _ = both.predict(SMILES)
    np.testing.assert_array_equal(again.predict(SMILES)[0][0], values[1])
    assert np.abs(values[0] - values[1])[:, :2].max() > 1e-3
    first, second = (encoder.model.state_dict() for encoder in both.encoders)
    table = "encoder.virtual_node"
    assert not torch.equal(first[table], second[table])
    half = 16  # the rows that make sigma, which the labels say nothing of
    for trained in (first, second):
        moved = (trained["bottleneck.linear.weight"] - before["bottleneck.linear.weight"]).abs()
        assert moved[half:].max() == 0
        steps = 6 * -(-len(SPLIT.train) // SHORT.batch_size)
        assert 0 < moved[:half].max() <= 1.5 * steps * ENCODER_LR
    both.save(tmp_path / "model")
    np.testing.assert_array_equal(load_predictor(tmp_path / "model", device="cpu").predict(SMILES)[0], values)


def test_a_finetuned_predictor_learns(run):
    representation = infoalign_dgl.load(run, device="cpu")
    config = HeadConfig(epochs=25, patience=25, max_hidden=32, batch_size=8, lr=1e-2)
    for kind, least in (("binary", 0.9), ("regression", None)):
        tasks = make_tasks(kind)
        predictor = train_predictor(representation, tasks, SPLIT, [0], "finetune", config)
        metric, scores = predictor.test_scores()
        if least is not None:
            assert metric == "mean ROC-AUC"
            assert scores[0] > least
        else:
            assert metric == "mean absolute error"
            error = np.abs(predictor.calibration.values[0] - tasks.labels[SPLIT.test])[:, 1].mean()
            assert error < 0.5 * tasks.labels[:, 1].std()


def test_a_head_is_folded_to_what_the_network_says(run):
    representation = infoalign_dgl.load(run, device="cpu")
    tasks = make_tasks()
    packed, _ = standardized_graphs(SMILES)
    targets = Targets.of(tasks.labels, SPLIT, "binary", np.ones(80, bool))
    rng = np.random.default_rng(0)
    mean, scale = rng.normal(size=16).astype(np.float32), rng.uniform(0.5, 2, 16).astype(np.float32)
    network = _Network(representation.model, _Task(packed, targets, "binary", mean, scale, SHORT))
    with torch.no_grad():
        network.norm.running_mean.normal_()
        network.norm.running_var.uniform_(0.5, 2)
        network.norm.weight.normal_()
        network.norm.bias.normal_()
        want = network.eval()(packed, np.arange(80))
    weights = network.folded()
    mu = torch.from_numpy((representation.encode(packed) - mean) / scale)
    hidden = torch.nn.functional.gelu(mu @ weights["expand"] + weights["shift"])
    torch.testing.assert_close(hidden @ weights["output"] + weights["bias"], want, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("ending", ["csv", "tsv.gz", "parquet"])
def test_a_table_is_predicted_row_for_row(run, tmp_path, ending):
    representation = infoalign_dgl.load(run, device="cpu")
    shutil.copytree(run, tmp_path / "run")
    representation = infoalign_dgl.load(tmp_path / "run", device="cpu")
    train_predictor(representation, make_tasks(), SPLIT, range(3), config=SHORT).save(tmp_path / "model")
    shutil.rmtree(tmp_path / "run")
    given = ["CCO", "not a molecule", "CC(=O)[O-].[Na+]", None, "CC(=O)O"]
    pd.DataFrame({"name": range(5), "structure": given}).to_csv(tmp_path / "in.csv", index=False)
    output = tmp_path / "new" / f"out.{ending}"
    summary = predict_table(
        tmp_path / "model", tmp_path / "in.csv", output, smiles_column="structure", device="cpu"
    )
    assert vars(summary) == {"rows": 5, "failed": 2, "tasks": 3, "untrained": 1, "uncalibrated": 0}
    found = pd.read_parquet(output) if ending == "parquet" else pd.read_csv(output, sep=None, engine="python")
    assert list(found) == [
        "smiles",
        "error",
        "nearest_smiles",
        "nearest_similarity",
        *(f"{t}_{what}" for t in ("n", "long", "none") for what in ("mean", "std", "std_latent", "set")),
    ]
    assert found["smiles"][[0, 1, 2, 4]].tolist() == [given[row] for row in (0, 1, 2, 4)]
    assert found["error"].notna().tolist() == [False, True, False, True, False]
    values, _ = load_predictor(tmp_path / "model", device="cpu").predict(given)
    np.testing.assert_allclose(found["n_mean"], values[..., 0].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found["n_std"], values[..., 0].std(axis=0, ddof=1), rtol=1e-4)
    assert found["n_mean"].isna().tolist() == [False, True, False, True, False]
    assert found["none_mean"].isna().all()
    assert found["n_mean"][2] == pytest.approx(found["n_mean"][4], rel=1e-4)  # a salt and its acid


def predicted(run, tmp_path, kind="regression", protocol="frozen", smiles=SMILES, **settings):
    """The predictor, and its table for some structures."""
    representation = infoalign_dgl.load(run, device="cpu")
    predictor = train_predictor(representation, make_tasks(kind), SPLIT, range(2), protocol, SHORT)
    predictor.save(tmp_path / "model", overwrite=True)
    pd.DataFrame({"smiles": smiles}).to_csv(tmp_path / "in.csv", index=False)
    given = (tmp_path / "model", tmp_path / "in.csv", tmp_path / "out.parquet")
    predict_table(*given, device="cpu", **settings)
    return load_predictor(tmp_path / "model", device="cpu"), pd.read_parquet(tmp_path / "out.parquet")


@pytest.mark.parametrize("protocol", ["frozen", "finetune"])
def test_sigma_is_carried_to_predictions(run, tmp_path, protocol):
    """Against draws of our own through the model and the heads' layers, one molecule at a time."""
    predictor, found = predicted(run, tmp_path, protocol=protocol, smiles=SMILES[:3], draws=400)
    packed, _ = standardized_graphs(SMILES[:3])
    generator = torch.Generator().manual_seed(5)
    variances = []
    for place in range(2):
        encoder = predictor.encoders[place if protocol == "finetune" else 0].model
        weights = {name: each[place] for name, each in predictor.heads.weights.items()}
        with torch.inference_mode():
            latent = encoder.encode(packed.gather(np.arange(3)))
            noise = torch.randn(4000, 1, latent.mu.shape[1], generator=generator)
            mean, scale = torch.from_numpy(predictor.mean), torch.from_numpy(predictor.scale)
            z = (latent.mu + latent.sigma * noise - mean) / scale
            hidden = torch.nn.functional.gelu(z @ weights["expand"] + weights["shift"])
            out = (hidden @ weights["output"] + weights["bias"])[..., 1]
        variances.append((out * predictor.heads.scale[1]).var(dim=0).numpy())
    want = np.sqrt(np.mean(variances, axis=0))
    assert (want > 0).all()
    np.testing.assert_allclose(found["long_std_latent"], want, rtol=0.15)
    _, none = predicted(run, tmp_path, protocol=protocol, smiles=SMILES[:3], draws=0)
    assert "long_std_latent" not in none


def test_intervals_hold_the_rows_that_calibrate_them(run, tmp_path):
    """Of m labels the ceil(0.8 (m + 1)) nearest to their prediction are inside: 17 of 20."""
    _, found = predicted(run, tmp_path, confidence=0.8)
    truth = make_tasks("regression").labels[SPLIT.test, 1]
    low, high, mean = (found[f"long_{name}"].to_numpy()[SPLIT.test] for name in ("low", "high", "mean"))
    inside = (low - 1e-4 <= truth) & (truth <= high + 1e-4)
    assert inside.sum() == 17
    errors = np.sort(np.abs(truth - mean))
    np.testing.assert_allclose((high - low) / 2, errors[16], rtol=1e-3)
    assert found["none_low"].isna().all()


def test_sets_name_the_classes_that_are_not_ruled_out(run, tmp_path):
    predictor, found = predicted(run, tmp_path, "binary", confidence=0.8)
    stored = predictor.calibration
    truth, values = stored.labels[:, 1], stored.values.mean(axis=0)[:, 1]
    radius = np.sort(np.abs(truth - values))[16]
    means = found["long_mean"].to_numpy()
    clear = (np.abs(means - radius) > 1e-4) & (np.abs(1 - means - radius) > 1e-4)  # else rounding decides
    names = {(True, True): "0 or 1", (True, False): "0", (False, True): "1", (False, False): "none"}
    want = [names[bool(mean <= radius), bool(1 - mean <= radius)] for mean in means]
    assert found["long_set"][clear].tolist() == [each for each, ok in zip(want, clear, strict=True) if ok]
    assert found["none_set"].isna().all()
    with pytest.raises(InfoAlignError, match="'draws' is 0 for none or at least 2"):
        predict_table(tmp_path / "model", tmp_path / "in.csv", tmp_path / "out.csv", draws=1)


def test_too_few_labels_calibrate_nothing_and_are_counted(run, tmp_path):
    predicted(run, tmp_path)
    given = (tmp_path / "model", tmp_path / "in.csv", tmp_path / "out.parquet")
    summary = predict_table(*given, confidence=0.99, device="cpu")
    assert (summary.uncalibrated, summary.untrained) == (2, 1)
    assert pd.read_parquet(tmp_path / "out.parquet")["long_low"].isna().all()


def test_the_nearest_molecule_of_the_training_is_rdkits(run, tmp_path):
    smiles = ["CCCCCCCO", "[Na+].CC(=O)[O-]", "not one", "c1ccccc1N", SMILES[0]]
    _, found = predicted(run, tmp_path, smiles=smiles)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    train = [SMILES[row] for row in SPLIT.train]
    known = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in train]
    for row, text in enumerate(["CCCCCCCO", "CC(=O)O", None, "c1ccccc1N", SMILES[0]]):
        if text is None:
            assert found["nearest_smiles"].isna()[row]
            assert np.isnan(found["nearest_similarity"][row])
            continue
        query = generator.GetFingerprint(Chem.MolFromSmiles(text))
        similar = DataStructs.BulkTanimotoSimilarity(query, known)
        assert found["nearest_similarity"][row] == pytest.approx(max(similar))
        assert found["nearest_smiles"][row] == train[int(np.argmax(similar))]


def test_no_task_name_hides_another_tasks_column(run, tmp_path):
    """Whatever two tasks are called, a name and a figure give a column that no other pair gives."""
    figures = ["mean", "std", "std_latent", "low", "high"]
    names = ["x", *(f"x_{figure}" for figure in [*figures, "latent", "set"])]
    tasks = make_tasks("regression")
    labels = tasks.labels[:, np.ones(len(names), int)] + np.arange(len(names))
    representation = infoalign_dgl.load(run, device="cpu")
    many = replace(tasks, tasks=names, labels=labels)
    train_predictor(representation, many, SPLIT, range(2), config=SHORT).save(tmp_path / "model")
    pd.DataFrame({"smiles": SMILES[:3]}).to_csv(tmp_path / "in.csv", index=False)
    predict_table(tmp_path / "model", tmp_path / "in.csv", tmp_path / "out.parquet", device="cpu")
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert list(found)[4:] == [f"{name}_{figure}" for name in names for figure in figures]


def test_a_train_structure_may_have_a_name_of_several_lines(run, tmp_path):
    named = [f"{text} a\nname\u2028of lines" if row % 3 == 0 else text for row, text in enumerate(SMILES)]
    representation = infoalign_dgl.load(run, device="cpu")
    predictor = train_predictor(representation, make_tasks(smiles=named), SPLIT, [0], config=SHORT)
    predictor.save(tmp_path / "model")
    loaded = load_predictor(tmp_path / "model", device="cpu")
    assert loaded.train.smiles == predictor.train.smiles
    assert [text.split()[0] for text in loaded.train.smiles] == [SMILES[row] for row in SPLIT.train]


@pytest.mark.parametrize("protocol", ["frozen", "finetune"])
def test_a_table_is_predicted_in_parts_and_told_of(run, tmp_path, monkeypatch, protocol):
    _, whole = predicted(run, tmp_path, protocol=protocol)
    monkeypatch.setattr(prediction_table, "_ROWS", 13)
    told = []
    _, found = predicted(
        run, tmp_path, protocol=protocol, batch_size=5, progress=lambda *count: told.append(count)
    )
    assert told == [(min(done, 80), 80) for done in range(13, 93, 13)]
    pd.testing.assert_frame_equal(found, whole, rtol=1e-4, atol=1e-5)


def test_rows_that_cannot_be_read_are_left_out(run):
    representation = infoalign_dgl.load(run, device="cpu")
    smiles = ["?" if row in (2, 3, 4, 7) else text for row, text in enumerate(SMILES)]
    for protocol in ("frozen", "finetune"):
        predictor = train_predictor(representation, make_tasks(smiles=smiles), SPLIT, [0], protocol, SHORT)
        assert len(predictor.calibration.labels) == len(SPLIT.test) - 2
        assert any("2 rows of train and valid have no features" in note for note in predictor.heads.notes)


def test_errors(run, tmp_path):
    representation = infoalign_dgl.load(run, device="cpu")
    tasks = make_tasks()
    with pytest.raises(InfoAlignError, match="'protocol' must be frozen or finetune, not 'probe'"):
        train_predictor(representation, tasks, SPLIT, [0], "probe")
    broken = make_tasks(smiles=["?"] * 80)
    with pytest.raises(InfoAlignError, match="no train row's structure can be read"):
        train_predictor(representation, broken, SPLIT, [0])
    with pytest.raises(InfoAlignError, match="is not a folder"):
        load_predictor(tmp_path / "none")
    predictor = train_predictor(representation, tasks, SPLIT, [0], config=SHORT)
    predictor.save(tmp_path / "model")
    with pytest.raises(InfoAlignError, match="already exists"):
        predictor.save(tmp_path / "model")
    predictor.save(tmp_path / "model", overwrite=True)
    with pytest.raises(InfoAlignError, match=r"must end in \.parquet"):
        predict_table(tmp_path / "model", tmp_path / "in.csv", tmp_path / "out.xlsx")
    stored = json.loads((tmp_path / "model" / CONFIG).read_text())
    replace_text(tmp_path / "model" / CONFIG, json.dumps({**stored, "format_version": 99}))
    with pytest.raises(InfoAlignError, match="is damaged"):
        load_predictor(tmp_path / "model")
