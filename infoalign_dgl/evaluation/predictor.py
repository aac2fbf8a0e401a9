"""A predictor: encoder, heads and all else that it takes to go from SMILES to a task set's values.

Its folder holds ``predictor.json`` (what it is), ``predictor.safetensors`` (weights, standardization, the
test rows' labels and predictions, which calibrate it, and the train molecules' fingerprints), ``train.smi``
(their structures, a line each) and ``SHA256SUMS``. Neither the run nor the task set is needed to predict.
"""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from infoalign_dgl import __version__
from infoalign_dgl._folders import atomic_folder, verify_folder
from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation._validation import Validation
from infoalign_dgl.evaluation.heads import Heads
from infoalign_dgl.evaluation.uncertainty import carry_latent
from infoalign_dgl.models import InfoAlign, ModelConfig
from infoalign_dgl.molecules import standardized_graphs
from infoalign_dgl.representation import BATCH_SIZE, Representation
from infoalign_dgl.training.setup import choose_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from infoalign_dgl.molecules import PackedMolecules

FORMAT_VERSION = 1
CONFIG = "predictor.json"
TENSORS = "predictor.safetensors"
TRAIN = "train.smi"
_VERSIONED = ("dgllife", "numpy", "rdkit", "torch")


@dataclass(frozen=True)
class Calibration:
    """Rows that neither training nor early stopping has seen, by which intervals can be made.

    Attributes
    ----------
    labels : np.ndarray
        (m, T) float64, NaN where unmeasured: the split's test rows that can be read.
    values : np.ndarray
        (S, m, T) float32, what the predictor says of them.
    """

    labels: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class TrainMolecules:
    """What heads have learned from, to say how far a molecule is from it.

    Attributes
    ----------
    smiles : list of str
        m structures as the task set gives them, but each in one line: a name behind one may have more.
    bits : np.ndarray
        (m, 256) uint8, see :func:`~infoalign_dgl.evaluation.nearest.packed_morgan`.
    """

    smiles: list[str]
    bits: np.ndarray


@dataclass(frozen=True)
class Predictor:
    """Heads of S seeds on one encoder, or each on an encoder of its own.

    Attributes
    ----------
    encoders : list of Representation
        One, or S that were trained with the heads.
    mean, scale : np.ndarray
        (d,) float32: heads read ``(mu - mean) / scale``; where a column of mu was constant, scale is
        infinite.
    heads : Heads
    tasks : list of str
        T names.
    seeds : list of int
    about : dict
        How it came about, plain values: ``protocol``, ``task_set`` (name), ``split`` (rows of each part) and
        ``encoder`` (the run's checkpoint).
    train : TrainMolecules
    calibration : Calibration
    """

    encoders: list[Representation]
    mean: np.ndarray
    scale: np.ndarray
    heads: Heads
    tasks: list[str]
    seeds: list[int]
    about: dict[str, Any]
    train: TrainMolecules = field(repr=False)
    calibration: Calibration = field(repr=False)

    def predict(
        self,
        smiles: Sequence[str | None],
        batch_size: int = BATCH_SIZE,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[np.ndarray, list[str | None]]:
        """Predict structures, standardized as for building the run's graph.

        Parameters
        ----------
        smiles : sequence of (str or None)
            n structures.
        batch_size : int
            Molecules at a time.
        progress : callable, optional
            Called with (molecules encoded, all), by each encoder.

        Returns
        -------
        values : np.ndarray
            (S, n, T) float32: probability of class 1, or value in the task's unit; NaN in rows that cannot be
            read and in columns of tasks that could not be trained.
        reasons : list of (str or None)
            n, why a row cannot be read.
        """
        first = self.encoders[0]
        packed, reasons = standardized_graphs(list(smiles), tautomer=first.tautomer, helpers=first.helpers)
        rows = np.array([row for row, reason in enumerate(reasons) if reason is None], np.int64)
        values = np.full((len(self.seeds), len(reasons), len(self.tasks)), np.nan, np.float32)
        values[:, rows] = self.predict_graphs(packed, rows, batch_size, progress=progress)
        return values, reasons

    def predict_graphs(
        self,
        packed: PackedMolecules,
        rows: np.ndarray,
        batch_size: int = BATCH_SIZE,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Predict molecules that were featurized before.

        Returns
        -------
        np.ndarray
            (S, m, T) float32 for m ``rows``.
        """
        return self.predict_latents(
            [encoder.encode(packed, rows, batch_size, progress=progress) for encoder in self.encoders]
        )

    def latents(
        self,
        packed: PackedMolecules,
        rows: np.ndarray,
        batch_size: int = BATCH_SIZE,
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Give mu and sigma of molecules that were featurized before, (m, d) float32, by each encoder."""
        return [encoder.latents(packed, rows, batch_size) for encoder in self.encoders]

    def predict_latents(self, latents: Sequence[np.ndarray]) -> np.ndarray:
        """Predict from latents, (m, d) of each encoder: (S, m, T) float32."""
        return np.concatenate([self._heads(place, z) for place, z in enumerate(latents)])

    def latent_std(self, latents: Sequence[tuple[np.ndarray, np.ndarray]], draws: int) -> np.ndarray:
        """Say how far predictions vary with the latent.

        Parameters
        ----------
        latents : sequence of (np.ndarray, np.ndarray)
            mu and sigma, (m, d), of each encoder.
        draws : int
            At least 2, the same noise for each molecule and encoder.

        Returns
        -------
        np.ndarray
            (m, T) float64: the root of the mean square over seeds of each one's standard deviation.
        """
        found = [
            carry_latent(partial(self._heads, place), mu, sigma, samples=draws).std
            for place, (mu, sigma) in enumerate(latents)
        ]
        return np.sqrt(np.square(np.concatenate(found)).mean(axis=0))

    def _heads(self, encoder: int, latents: np.ndarray) -> np.ndarray:
        heads = self.heads if len(self.encoders) == 1 else self.heads.of_seed(encoder)
        return heads.predict(((latents - self.mean) / self.scale).astype(np.float32))

    def test_scores(self) -> tuple[str, np.ndarray]:
        """Score each seed on the rows that calibrate it.

        Returns
        -------
        (str, np.ndarray)
            The metric, "mean ROC-AUC" or "mean absolute error" (over trained tasks that can be scored, in
            their units), and (S,) float64; of no seed where no task can be scored.
        """
        trained = self.heads.trained
        validation = Validation.of(self.calibration.labels[:, trained], self.heads.kind, torch.device("cpu"))
        metric = "mean ROC-AUC" if self.heads.kind == "binary" else "mean absolute error"
        if not validation.scorable:
            return metric, np.zeros(0)
        values = np.ascontiguousarray(self.calibration.values[..., trained])
        scores = validation.scores(torch.from_numpy(values)).numpy()
        return metric, scores if self.heads.kind == "binary" else -scores

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the predictor's folder, whole or not at all.

        Raises
        ------
        InfoAlignError
            If it exists and ``overwrite`` is false, or cannot be written.
        """
        model = self.encoders[0].model
        described = {
            "format_version": FORMAT_VERSION,
            "model": model.config.to_json(),
            "tautomer": self.encoders[0].tautomer,
            "encoders": len(self.encoders),
            "kind": self.heads.kind,
            "tasks": self.tasks,
            "seeds": self.seeds,
            "head_notes": self.heads.notes,
            "about": self.about,
            "versions": {
                "infoalign-dgl": __version__,
                **{name: importlib.metadata.version(name) for name in _VERSIONED},
            },
        }
        with atomic_folder(Path(folder), overwrite=overwrite) as folder_so_far:
            (folder_so_far / TENSORS).write_bytes(to_bytes(self._tensors()))
            (folder_so_far / CONFIG).write_text(json.dumps(described, indent=2) + "\n")
            (folder_so_far / TRAIN).write_text("".join(f"{smiles}\n" for smiles in self.train.smiles))

    def _tensors(self) -> dict[str, Tensor]:
        arrays = {
            "features.mean": self.mean,
            "features.scale": self.scale,
            "heads.trained": self.heads.trained,
            "heads.mean": self.heads.mean,
            "heads.scale": self.heads.scale,
            "calibration.labels": self.calibration.labels,
            "calibration.values": self.calibration.values,
            "train.bits": self.train.bits,
        }
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        tensors |= {f"heads.{name}": tensor for name, tensor in self.heads.weights.items()}
        for place, encoder in enumerate(self.encoders):
            for name, tensor in encoder.model.state_dict().items():
                tensors[f"encoders.{place}.{name}"] = tensor
        return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def load_predictor(folder: str | Path, *, device: str = "auto") -> Predictor:
    """Read what ``Predictor.save`` wrote.

    Parameters
    ----------
    folder : str or Path
    device : str
        Of the encoders; ``"auto"`` takes a GPU where there is one.

    Raises
    ------
    InfoAlignError
        If the folder is no predictor, or damaged, or of another format version.
    """
    folder = Path(folder)
    verify_folder(folder, required=(CONFIG, TENSORS, TRAIN))
    stored = json.loads((folder / CONFIG).read_text())
    if stored.get("format_version") != FORMAT_VERSION:
        raise EvaluationError(
            f"'{folder / CONFIG}' has format version {stored.get('format_version')!r} and this program reads "
            f"version {FORMAT_VERSION}: use the program version that wrote it, or run finetune again"
        )
    tensors = load_file(folder / TENSORS)
    where = choose_device(device)
    config = ModelConfig.from_json(stored["model"])
    encoders = []
    for place in range(stored["encoders"]):
        model = InfoAlign(config)
        model.load_state_dict(_below(tensors, f"encoders.{place}."))
        encoders.append(Representation(model.to(where).eval(), folder, stored["tautomer"]))
    heads = _below(tensors, "heads.")
    trained, mean, scale = (heads.pop(name).numpy() for name in ("trained", "mean", "scale"))
    return Predictor(
        encoders,
        tensors["features.mean"].numpy(),
        tensors["features.scale"].numpy(),
        Heads(heads, trained, stored["kind"], mean, scale, stored["head_notes"]),
        stored["tasks"],
        stored["seeds"],
        stored["about"],
        TrainMolecules((folder / TRAIN).read_text().splitlines(), tensors["train.bits"].numpy()),
        Calibration(tensors["calibration.labels"].numpy(), tensors["calibration.values"].numpy()),
    )


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: each for name, each in tensors.items() if name.startswith(prefix)}
