"""From a run and a task set to a predictor, with the encoder as it is or trained on the labels too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation._supervision import EarlyStopping, Targets, loss_gradient, stopping_notes
from infoalign_dgl.evaluation._validation import Validation
from infoalign_dgl.evaluation.heads import HeadConfig, Heads, train_heads
from infoalign_dgl.evaluation.nearest import packed_morgan
from infoalign_dgl.evaluation.predictor import Calibration, Predictor, TrainMolecules
from infoalign_dgl.models import InfoAlign
from infoalign_dgl.models.compat import bound_all_rows
from infoalign_dgl.molecules import standardized_graphs
from infoalign_dgl.representation import BATCH_SIZE, Representation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from infoalign_dgl.evaluation.splits import Split
    from infoalign_dgl.evaluation.tasks import TaskSet
    from infoalign_dgl.molecules import PackedMolecules

Protocol = Literal["frozen", "finetune"]

FINETUNE = HeadConfig(epochs=100, patience=20, batch_size=256)
"""How heads are trained with their encoder: smaller batches, and fewer of the much dearer epochs."""

ENCODER_LR = 1e-4
"""Of the encoder in the protocol ``finetune``: that of pretraining, a tenth of the heads'."""


def train_predictor(
    representation: Representation,
    task_set: TaskSet,
    split: Split,
    seeds: Sequence[int],
    protocol: Protocol = "frozen",
    config: HeadConfig | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Predictor:
    """Train heads on a run's representation of a task set's molecules.

    Heads read the latent mean mu, standardized by the train rows' mean and standard deviation under the
    run's encoder.

    Parameters
    ----------
    representation : Representation
        Of :func:`infoalign_dgl.load`; training takes place where its model is.
    task_set : TaskSet
    split : Split
        Train rows are trained on, valid rows end training, test rows calibrate the predictor.
    seeds : sequence of int
        S seeds.
    protocol : {"frozen", "finetune"}
        Leave the encoder as it is, or train one for each seed too, at ``ENCODER_LR``.
    config : HeadConfig, optional
        By default the published one, or ``FINETUNE``.
    progress : callable, optional
        Called with (epochs of all seeds done, at most to do).

    Returns
    -------
    Predictor

    Raises
    ------
    EvaluationError
        If the protocol is unknown, or too little can be trained.
    """
    if protocol not in ("frozen", "finetune"):
        raise EvaluationError(f"'protocol' must be frozen or finetune, not {protocol!r}")
    packed, reasons = standardized_graphs(
        task_set.smiles, tautomer=representation.tautomer, helpers=representation.helpers
    )
    usable = np.array([reason is None for reason in reasons], bool)
    mu = np.full((len(usable), representation.dim), np.nan, np.float32)
    mu[usable] = representation.encode(packed, np.flatnonzero(usable))
    known = mu[split.train[usable[split.train]]].astype(np.float64)
    if not len(known):
        raise EvaluationError("no train row's structure can be read: check the task set, or split otherwise")
    scale = known.std(axis=0)
    scale[scale <= 1e-6 * np.abs(known).max(axis=0)] = np.inf  # rounding's share of a constant column
    mean, scale = known.mean(axis=0).astype(np.float32), scale.astype(np.float32)
    if protocol == "frozen":
        device = str(next(representation.model.parameters()).device)
        encoders = [_encoder_only(representation)]
        heads = train_heads(
            (mu - mean) / scale,
            task_set.labels,
            split,
            task_set.kind,
            seeds,
            config,
            progress=progress,
            device=device,
        )
    else:
        targets = Targets.of(task_set.labels, split, task_set.kind, usable)
        task = _Task(packed, targets, task_set.kind, mean, scale, config or FINETUNE)
        encoders, heads = _finetune(representation, task, seeds, progress)
    about = {
        "protocol": protocol,
        "task_set": task_set.name,
        "split": {part: len(getattr(split, part)) for part in ("train", "valid", "test")},
        "encoder": representation.checkpoint.name,
    }
    empty = Calibration(np.zeros((0, 0)), np.zeros((0, 0, 0), np.float32))
    learned = [str(task_set.smiles[row]) for row in split.train[usable[split.train]]]
    train = TrainMolecules([" ".join(text.split()) for text in learned], packed_morgan(learned))
    predictor = Predictor(
        encoders, mean, scale, heads, list(task_set.tasks), list(seeds), about, train, calibration=empty
    )
    test = split.test[usable[split.test]]
    values = predictor.predict_graphs(packed, test)
    return replace(predictor, calibration=Calibration(task_set.labels[test], values))


class _Task(NamedTuple):
    """What every seed is trained on."""

    packed: PackedMolecules
    targets: Targets
    kind: Literal["binary", "regression"]
    mean: np.ndarray
    scale: np.ndarray
    config: HeadConfig


def _encoder_only(representation: Representation) -> Representation:
    """Copy an encoder without its decoders."""
    model = representation.model
    # A new model draws starting weights, which is no reason to move the caller's random numbers on.
    with torch.random.fork_rng(devices=[]):
        copy = InfoAlign(replace(model.config, spaces={}, modality={}))
    state = {name: each for name, each in model.state_dict().items() if not name.startswith("decoders.")}
    copy.load_state_dict(state)
    return replace(representation, model=copy.to(next(model.parameters()).device).eval())


class _Network(nn.Module):
    """An encoder and the published head on its standardized mu."""

    mean: Tensor
    scale: Tensor

    def __init__(self, encoder: InfoAlign, task: _Task) -> None:
        super().__init__()
        config, width = task.config, encoder.config.hidden
        hidden = config.hidden(width)
        self.encoder = encoder
        self.register_buffer("mean", torch.from_numpy(task.mean))
        self.register_buffer("scale", torch.from_numpy(task.scale))
        self.expand = nn.Linear(width, hidden, bias=False)  # BatchNorm would take a bias out again
        self.norm = nn.BatchNorm1d(hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(hidden, task.targets.values.shape[1])

    def forward(self, packed: PackedMolecules, rows: np.ndarray) -> Tensor:
        """Return the outputs of some molecules, (m, U)."""
        mu = self.encoder.encode(packed.gather(rows).to(self.mean.device)).mu
        hidden = self.norm(self.expand((mu - self.mean) / self.scale))
        outputs: Tensor = self.output(self.dropout(nn.functional.gelu(hidden)))
        return outputs

    def folded(self) -> dict[str, Tensor]:
        """Return the head as :class:`Heads` holds it, of one seed."""
        assert self.norm.running_mean is not None
        assert self.norm.running_var is not None
        scale = self.norm.weight * (self.norm.running_var + self.norm.eps).rsqrt()
        weights = {
            "expand": (self.expand.weight * scale[:, None]).T,
            "shift": (self.norm.bias - self.norm.running_mean * scale)[None],
            "output": self.output.weight.T,
            "bias": self.output.bias[None],
        }
        return {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}


def _finetune(
    representation: Representation,
    task: _Task,
    seeds: Sequence[int],
    progress: Callable[[int, int], None] | None,
) -> tuple[list[Representation], Heads]:
    """Train an encoder and a head for each seed, one after the other."""
    config, targets = task.config, task.targets
    device = next(representation.model.parameters()).device
    validation = Validation.of(targets.values[targets.valid], task.kind, device)
    encoders, weights, best, last = [], [], [], []
    for place, seed in enumerate(seeds):
        # The encoder's dropout draws from torch's own generators, which the caller gets back as they were.
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            start = _encoder_only(representation)
            network = _Network(start.model, task).to(device)
            stop = _train(network, task, validation, seed, _told_of(progress, place, len(seeds), config))
        encoders.append(start)
        weights.append(network.folded())
        best += stop.best_epoch
        last += stop.last_epoch
    notes = stopping_notes(seeds, best, last, config.epochs, scored=validation.scorable)
    stacked = {name: torch.stack([each[name] for each in weights]) for name in weights[0]}
    notes = [*targets.notes, *notes]
    return encoders, Heads(stacked, targets.trained, task.kind, targets.mean, targets.scale, notes)


def _told_of(
    progress: Callable[[int, int], None] | None, place: int, seeds: int, config: HeadConfig
) -> Callable[[int], None]:
    """Tell of a seed's epochs as part of all seeds'."""

    def tell(epochs: int) -> None:
        if progress is not None:
            progress(place * config.epochs + epochs, seeds * config.epochs)

    return tell


def _train(
    network: _Network, task: _Task, validation: Validation, seed: int, tell: Callable[[int], None]
) -> EarlyStopping:
    """Train a network and leave it in eval mode with the weights of its best epoch."""
    config, targets = task.config, task.targets
    head = [each for name, each in network.named_parameters() if not name.startswith("encoder.")]
    # No decay of the encoder: sigma's weights get no gradient here, and Adam would make a decay alone a step
    # as long as any.
    groups = [
        {"params": list(network.encoder.parameters()), "lr": ENCODER_LR, "weight_decay": 0.0},
        {"params": head, "lr": config.lr, "weight_decay": config.weight_decay},
    ]
    optimizer = torch.optim.Adam(groups)
    order = np.random.default_rng(seed)
    stop = EarlyStopping(1, config.patience, scored=validation.scorable)
    best: dict[str, Tensor] = {}
    for epoch in range(config.epochs):
        network.train()
        rows = order.permutation(targets.train)
        for first in range(0, len(rows), config.batch_size):
            if len(rows) - first > 1:  # BatchNorm cannot use one row
                _step(network, task, rows[first : first + config.batch_size], optimizer)
        network.eval()
        score = float(validation.scores(_outputs(network, task.packed, targets.valid)[None])[0])
        if stop.is_best(0, epoch, score):
            best = {name: each.detach().clone() for name, each in network.state_dict().items()}
        if stop.is_over(0):
            break
        tell(epoch + 1)
    tell(config.epochs)
    network.load_state_dict(best)
    if network.encoder.config.compat is not None:
        bound_all_rows(network.encoder)
    return stop


def _step(network: _Network, task: _Task, rows: np.ndarray, optimizer: torch.optim.Optimizer) -> None:
    outputs = network(task.packed, rows)[None]
    labels = torch.from_numpy(task.targets.values[rows]).to(outputs.device)[None]
    observed = (~labels.isnan()).sum((1, 2), keepdim=True).clamp_(min=1)
    optimizer.zero_grad()
    outputs.backward(loss_gradient(outputs.detach(), labels, observed, task.kind))
    optimizer.step()


def _outputs(network: _Network, packed: PackedMolecules, rows: np.ndarray) -> Tensor:
    """Return the outputs of some molecules, (m, U), without gradients."""
    with torch.inference_mode():
        parts = [
            network(packed, rows[start : start + BATCH_SIZE]) for start in range(0, len(rows), BATCH_SIZE)
        ]
        return torch.cat([network.output.bias.new_zeros((0, network.output.out_features)), *parts])
