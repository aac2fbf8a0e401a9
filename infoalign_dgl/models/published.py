"""Weights of the published implementation, read and renamed into a model of ours.

The published state dict holds tables per atom and bond feature where ours has one table and one linear layer
on one-hot bonds; everything else is the same tensor under another name. Its embeddings are read through
``max_norm=1``, so rows longer than 1 are shortened here once and for all. ``graph_encoder.bond_encoder`` is
made there and never used.

References
----------
Liu et al. 2024, Learning Molecular Representation in a Cell, its published code.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from infoalign_dgl.errors import RunError
from infoalign_dgl.models.compat import MAX_NORM, bound_all_rows
from infoalign_dgl.models.config import ModelConfig
from infoalign_dgl.models.infoalign import InfoAlign
from infoalign_dgl.molecules import ATOM_FEATURE_SIZES, BOND_FEATURE_SIZES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

# The published decoders in their order: our feature space, and the node type that carries it.
DECODERS = {
    "fingerprint": "molecule",
    "crispr": "gene",
    "orf": "gene",
    "bray": "morphology",
    "jump": "morphology",
    "expression": "gene_expression",
}
_UNUSED = "graph_encoder.bond_encoder."
_ATOMS = "graph_encoder.atom_encoder.atom_embedding_list"
_BONDS = "bond_encoder.bond_embedding_list"
_OUR_ATOMS = "encoder.atom_embedding.weight"
# What torch.load is seen to raise for files that are cut off, overwritten in places, or something else.
_DAMAGED = (
    RuntimeError,
    pickle.UnpicklingError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    OSError,
    struct.error,
)


@dataclass(frozen=True)
class Published:
    """A published model as one of ours.

    Attributes
    ----------
    model : InfoAlign
        In eval mode, with ``compat="reference"``.
    unused : int
        Tensors of the state dict that the published model makes and never reads.
    shortened : int
        Embedding rows that were longer than 1.
    """

    model: InfoAlign
    unused: int
    shortened: int


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read named tensors, running nothing that the file might hold.

    Parameters
    ----------
    path : Path
        What ``torch.save`` wrote, or a ``.safetensors`` file.

    Returns
    -------
    dict of str to Tensor
        On the CPU.

    Raises
    ------
    RunError
        If the file cannot be read, holds anything but named tensors, or asks for code to be run.
    """
    try:
        stream = path.open("rb")
    except OSError as error:
        raise RunError(f"'{path}' cannot be read ({error.strerror or error}): check the path") from error
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():  # about the age of the file's format; what matters is an error below
            warnings.simplefilter("ignore")
            found = torch.load(stream, map_location="cpu", weights_only=True)
    except (SafetensorError, *_DAMAGED) as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and asked is not None:
            raise RunError(
                f"'{path}' asks for {asked[1].rstrip('.')} to be called while it is read, which tensors "
                "never need: it is refused and nothing of it was run; ask for a file with the model's "
                "state_dict() and nothing else"
            ) from error
        raise RunError(
            f"'{path}' is cut off, damaged or no file of tensors ({type(error).__name__}): fetch it again"
        ) from error
    finally:
        stream.close()
    if not isinstance(found, dict) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise RunError(
            f"'{path}' is no state dict, names with one tensor each, but {_kind(found)}: save the published "
            "model's state_dict() itself"
        )
    return {str(name): tensor for name, tensor in found.items()}


def _kind(found: object) -> str:
    """Say what was found in place of a state dict."""
    if not isinstance(found, dict):
        return f"a {type(found).__name__}"
    name, value = next((name, value) for name, value in found.items() if not isinstance(value, Tensor))
    return f"one whose {str(name)!r} is a {type(value).__name__}"


def from_published(state: Mapping[str, Tensor], source: str) -> Published:
    """Turn a published state dict into a model.

    Width, layers and the decoders' columns are those of the tensors.

    Parameters
    ----------
    state : mapping of str to Tensor
        The state dict of the published pretraining model with the encoder ``gin-virtual``.
    source : str
        What errors call it.

    Returns
    -------
    Published

    Raises
    ------
    RunError
        Naming every tensor that is missing, left over, of another shape, or not of finite numbers.
    """
    config = _sizes(state, source)
    model = InfoAlign(config)
    ours = model.state_dict()
    renamed = _renamed(config, ours)
    expected = {published: tuple(ours[name].shape) for published, name in renamed.items()}
    tables = _table_names(config)
    for prefix, sizes in tables.values():
        expected |= {f"{prefix}.{column}.weight": (size, config.hidden) for column, size in enumerate(sizes)}
    unused = [name for name in state if name.startswith(_UNUSED)]
    _check({name: tensor for name, tensor in state.items() if name not in unused}, expected, source)
    for published, name in renamed.items():
        ours[name] = state[published]
    for name, (prefix, sizes) in tables.items():
        table = torch.cat([state[f"{prefix}.{column}.weight"] for column in range(len(sizes))])
        ours[name] = table if name == _OUR_ATOMS else table.t()
    model.load_state_dict(ours)
    shortened = sum(_too_long(model, name) for name in tables)
    bound_all_rows(model)
    return Published(model.eval(), len(unused), shortened)


def _table_names(config: ModelConfig) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Map our embedding tensors to the published tables' prefix and sizes."""
    tables = {_OUR_ATOMS: (_ATOMS, ATOM_FEATURE_SIZES)}
    for layer in range(config.layers):
        prefix = f"graph_encoder.convs.{layer}.{_BONDS}"
        tables[f"encoder.convs.{layer}.project_in_edge_feats.weight"] = (prefix, BOND_FEATURE_SIZES)
    return tables


def _too_long(model: InfoAlign, name: str) -> int:
    """Count the rows of an embedding tensor of ours that are longer than 1."""
    tensor = model.get_parameter(name).detach()
    rows = tensor if name == _OUR_ATOMS else tensor.t()
    return int((torch.linalg.vector_norm(rows, dim=1) > MAX_NORM).sum())


def _sizes(state: Mapping[str, Tensor], source: str) -> ModelConfig:
    """Infer the model's sizes; what contradicts them is found later."""
    reads_width = (_ATOMS, "graph_encoder.virtualnode_embedding", "dist_net.1.weight")
    widths = Counter(
        tensor.shape[1] for name, tensor in state.items() if name.startswith(reads_width) and tensor.ndim == 2
    )
    layers = max(
        _count(state, "graph_encoder.convs"),
        _count(state, "graph_encoder.batch_norms"),
        _count(state, "graph_encoder.mlp_virtualnode_list") + 1,
    )
    if not widths or layers < 2:
        raise RunError(
            f"'{source}' is not the published model's state dict: among its {len(state)} tensors is no "
            "graph_encoder with embeddings and at least two layers"
        )
    columns = {}
    for number, space in enumerate(DECODERS):
        outputs = [state.get(f"decoder_list.{number}.fc2.{kind}") for kind in ("weight", "bias")]
        rows = [tensor.shape[0] for tensor in outputs if tensor is not None and tensor.ndim > 0]
        columns[space] = max([1, *rows[:1]])
    return ModelConfig(
        hidden=widths.most_common(1)[0][0],
        layers=layers,
        spaces=columns,
        modality=dict(DECODERS),
        compat="reference",
    )


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """Count the members 0, 1, ... of a module list, up to the first that has no tensor."""
    numbers = {name[len(prefix) + 1 :].partition(".")[0] for name in state if name.startswith(f"{prefix}.")}
    count = 0
    while str(count) in numbers:
        count += 1
    return count


def _renamed(config: ModelConfig, names: Iterable[str]) -> dict[str, str]:
    """Map published names to ours, for the tensors that are the same in both."""
    prefixes = {
        "graph_encoder.virtualnode_embedding.weight": "encoder.virtual_node",
        "dist_net.1": "bottleneck.linear",
    }
    for layer in range(config.layers):
        prefixes[f"graph_encoder.convs.{layer}.eps"] = f"encoder.convs.{layer}.eps"
        prefixes[f"graph_encoder.convs.{layer}.mlp"] = f"encoder.convs.{layer}.project_out"
        prefixes[f"graph_encoder.batch_norms.{layer}"] = f"encoder.norms.{layer}"
    for layer in range(config.layers - 1):
        prefixes[f"graph_encoder.mlp_virtualnode_list.{layer}"] = f"encoder.virtual_mlps.{layer}"
    for number, space in enumerate(DECODERS):
        for published, ours in (("fc1", "expand"), ("bn1", "norm"), ("fc2", "output")):
            prefixes[f"decoder_list.{number}.{published}"] = f"decoders.{space}.{ours}"
    return {
        published + name[len(ours) :]: name
        for published, ours in prefixes.items()
        for name in names
        if name == ours or name.startswith(f"{ours}.")
    }


def _check(state: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], source: str) -> None:
    missing = [name for name in expected if name not in state]
    left_over = [name for name in state if name not in expected]
    complaints = []
    if missing:
        complaints.append(f"it lacks {', '.join(_groups(missing, expected, depth=2))}")
    if left_over:
        complaints.append(f"left over are {', '.join(_groups(left_over, state, depth=1))}")
    for name, shape in expected.items():
        if name not in state:
            continue
        tensor = state[name]
        if tuple(tensor.shape) != shape:
            complaints.append(f"{name} has the shape {tuple(tensor.shape)} where {shape} belongs")
        elif not tensor.isfinite().all():
            complaints.append(f"{name} holds numbers that are not finite")
    if complaints:
        raise RunError(
            f"'{source}' is not the published model's state dict: {'; '.join(complaints)}; pass the file "
            "that its pretraining wrote"
        )


def _groups(names: list[str], universe: Iterable[str], *, depth: int) -> list[str]:
    """Name tensors, and modules in place of tensors where all of a module's are named.

    Parameters
    ----------
    names : list of str
        The tensors.
    universe : iterable of str
        All that a module might have.
    depth : int
        Parts that a module's name must have at least.
    """
    chosen, everything = set(names), list(universe)
    said: dict[str, None] = {}
    for name in names:
        parts = name.split(".")
        for length in range(min(depth, len(parts)), len(parts) + 1):
            module = ".".join(parts[:length])
            members = [other for other in everything if f"{other}.".startswith(f"{module}.")]
            if chosen.issuperset(members):
                said[_group(module, members)] = None
                break
    return list(said)


def _group(module: str, members: list[str]) -> str:
    if len(members) == 1:
        return members[0]
    decoder = re.fullmatch(r"decoder_list\.(\d)", module)
    space = list(DECODERS)[int(decoder[1])] if decoder and int(decoder[1]) < len(DECODERS) else None
    return f"{module}.* ({f'the decoder of {space}, ' if space else ''}{len(members)} tensors)"
