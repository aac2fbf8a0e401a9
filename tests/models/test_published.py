"""Published weights give the published numbers, in eval mode and in training; bad files are named."""

from __future__ import annotations

import os
import pickle
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from infoalign_dgl.errors import RunError
from infoalign_dgl.models.dropout import Dropout
from infoalign_dgl.models.objective import BatchTotals, SpaceTargets, objective
from infoalign_dgl.models.published import DECODERS, from_published, read_state_dict
from infoalign_dgl.representation import load
from infoalign_dgl.training import import_reference
from infoalign_dgl.walks.targets import collapse_targets

BETA, STEPS = 0.2, 4


@pytest.fixture
def state(equations):
    return equations.random_state()


def in_double(state):
    return {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def published_name(name):
    """The published name of a tensor of ours; embedding tables are not covered."""
    name = re.sub(r"^decoders\.(\w+)", lambda found: f"decoder_list.{list(DECODERS).index(found[1])}", name)
    for ours, theirs in (
        (r"^encoder\.virtual_node$", "graph_encoder.virtualnode_embedding.weight"),
        (r"^encoder\.norms", "graph_encoder.batch_norms"),
        (r"^encoder\.virtual_mlps", "graph_encoder.mlp_virtualnode_list"),
        (r"^encoder\.convs\.(\d+)\.project_out", r"graph_encoder.convs.\1.mlp"),
        (r"^encoder\.", "graph_encoder."),
        (r"^bottleneck\.linear", "dist_net.1"),
        (r"\.expand\.", ".fc1."),
        (r"(decoder_list\.\d)\.norm\.", r"\1.bn1."),
        (r"\.output\.", ".fc2."),
    ):
        name = re.sub(ours, theirs, name)
    return name


def under_published_names(equations, tensors):
    """Tensors of ours, parameters or gradients, cut up and renamed as the published model has them."""
    found = {}
    for name, tensor in tensors.items():
        bonds = re.fullmatch(r"encoder\.convs\.(\d)\.project_in_edge_feats\.(weight|bias)", name)
        if name == "encoder.atom_embedding.weight":
            tables = "graph_encoder.atom_encoder.atom_embedding_list"
            parts = tensor.split(equations.ATOM_TABLES)
        elif bonds and bonds[2] == "weight":
            tables = f"graph_encoder.convs.{bonds[1]}.bond_encoder.bond_embedding_list"
            parts = tensor.T.split(equations.BOND_TABLES)
        elif bonds:
            assert not tensor.any(), "the bond embeddings have no bias there"
            continue
        else:
            found[published_name(name)] = tensor
            continue
        found |= {f"{tables}.{number}.weight": part for number, part in enumerate(parts)}
    return found


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("backend", ["dgl", "torch"])
def test_an_imported_run_gives_the_published_numbers(
    equations, state, molecules, batch, tmp_path, backend, suffix
):
    file = tmp_path / f"pretrain{suffix}"
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    imported = import_reference(file, tmp_path / "run")
    model = load(tmp_path / "run", device="cpu").model
    expected = equations.Equations(in_double(state))
    mu, sigma = expected.latent(equations.unpack(molecules))
    with torch.no_grad():
        latent = model.encode(batch, backend=backend)
        torch.testing.assert_close(latent.mu.double(), mu, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(latent.sigma.double(), sigma, atol=1e-5, rtol=1e-5)
        for number, space in enumerate(DECODERS):
            logits = model.decode(space, latent.mu)
            torch.testing.assert_close(logits.double(), expected.decode(number, mu), atol=1e-5, rtol=1e-5)
    rows = [tensor for name, tensor in state.items() if "_embedding_list" in name]
    used = [table for table, name in zip(rows, filter(is_table, state), strict=True) if not is_unused(name)]
    assert imported.shortened == sum(int((table.double().norm(dim=1) > 1).sum()) for table in used) > 20
    assert imported.unused == len(rows) - len(used) == 3
    assert imported.spaces == dict(zip(DECODERS, equations.COLUMNS, strict=True))


def is_table(name):
    return "_embedding_list" in name


def is_unused(name):
    return name.startswith("graph_encoder.bond_encoder.")


def test_every_tensor_is_where_it_belongs(equations, state):
    model = from_published(state, "it").model
    back = under_published_names(equations, model.state_dict())
    assert set(back) == {name for name in state if not is_unused(name)}
    for name, tensor in back.items():
        assert tensor.shape == state[name].shape, name
        if is_table(name):
            lengths = state[name].norm(dim=1, keepdim=True)
            torch.testing.assert_close(tensor, state[name] / lengths.clamp(min=1))
        else:
            assert torch.equal(tensor, state[name]), name


def walks_and_targets(equations, num_molecules, seed=3):
    """Walks over a small graph, its targets NaN-padded per modality, and collapsed per feature space."""
    rng = np.random.default_rng(seed)
    rows_of = {  # nodes after the molecules: four genes (one in both spaces, one in none), profiles
        "fingerprint": np.arange(num_molecules),
        "crispr": num_molecules + np.array([0, 1]),
        "orf": num_molecules + np.array([0, 2]),
        "bray": num_molecules + np.array([4, 5, 6]),
        "jump": num_molecules + np.array([7, 8]),
        "expression": num_molecules + np.array([9, 10]),
    }
    total = num_molecules + 11
    nodes = rng.integers(0, total, (num_molecules, STEPS + 1))
    nodes[:, 0] = np.arange(num_molecules)
    for number, where in enumerate(rows_of.values()):  # every space is visited
        nodes[number % num_molecules, 1 + number // num_molecules] = where[0]
    steps = rng.uniform(0.3, 1, (num_molecules, STEPS)).astype(np.float32)
    alpha = np.cumprod(np.hstack([np.ones((num_molecules, 1), np.float32), steps]), axis=1)
    collapsed, padded = {}, []
    for (space, where), columns in zip(rows_of.items(), equations.COLUMNS, strict=True):
        values = rng.random((len(where), columns)).astype(np.float32)
        index = np.full(total, -1)
        index[where] = np.arange(len(where))
        found = collapse_targets(nodes, alpha, index, values)
        collapsed[space] = SpaceTargets(
            torch.from_numpy(found.molecule),
            torch.from_numpy(found.alpha).double(),
            torch.from_numpy(found.count).double(),
            torch.from_numpy(found.mean).double(),
        )
        dense = torch.full((total, columns), torch.nan, dtype=torch.float64)
        dense[torch.from_numpy(where)] = torch.from_numpy(values).double()
        padded.append(dense[torch.from_numpy(nodes)])
    per_modality = [padded[0], torch.cat(padded[1:3], 2), torch.cat(padded[3:5], 2), padded[5]]
    return collapsed, per_modality, torch.from_numpy(alpha).double()


def trainable(equations, state):
    """The model of a state dict in double precision and training mode, its long rows still long."""
    model = from_published(state, "it").model.double().train()
    for module in model.modules():
        if isinstance(module, Dropout):
            module.p = 0.0
    with torch.no_grad():
        for name, tensor in under_published_names(equations, dict(model.named_parameters())).items():
            tensor.copy_(state[name])
    return model


@pytest.mark.parametrize("backend", ["dgl", "torch"])
def test_training_steps_are_the_published_ones(equations, state, molecules, backend):
    """Loss and all gradients of three steps with molecules of their own, embeddings growing in between."""
    ours = trainable(equations, state)
    theirs = in_double(state)
    learned = [
        name for name, tensor in theirs.items() if tensor.is_floating_point() and "running" not in name
    ]
    learned = [name for name in learned if not is_unused(name)]
    for step, chosen in enumerate(([0, 1, 2, 3, 9], [3, 4, 5, 6, 7, 8], [0, 2, 3, 5, 9])):
        collapsed, padded, alpha = walks_and_targets(equations, len(chosen), seed=step)
        for name in learned:
            theirs[name] = theirs[name].detach().requires_grad_()
        torch.manual_seed(step)
        noise = torch.randn(len(chosen), equations.HIDDEN, dtype=torch.float64)
        chosen_molecules = [equations.unpack(molecules)[i] for i in chosen]
        expected = equations.nan_padded_loss(
            equations.Equations(theirs, training=True), chosen_molecules, padded, alpha, noise, BETA
        )
        expected.backward()
        ours.zero_grad(set_to_none=True)
        latent = ours.encode(molecules.gather(np.array(chosen)), backend=backend)
        torch.manual_seed(step)
        totals = BatchTotals.of(collapsed, len(chosen))
        terms = objective("reference", ours, latent, collapsed, totals, beta=BETA, path_nodes=STEPS + 1)
        terms.total.backward()
        torch.testing.assert_close(terms.total, expected, atol=0, rtol=1e-6)
        gradients = {
            name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in ours.named_parameters()
        }
        found = under_published_names(equations, gradients)
        assert set(found) == set(learned)
        scale = max(float(theirs[name].grad.abs().max()) for name in learned)
        with torch.no_grad():
            for name, parameter in under_published_names(equations, dict(ours.named_parameters())).items():
                torch.testing.assert_close(
                    found[name], theirs[name].grad, atol=1e-7 * scale, rtol=1e-5, msg=name
                )
                torch.testing.assert_close(parameter, theirs[name], atol=1e-6, rtol=1e-6, msg=name)
                if is_table(name):
                    parameter *= 1.3
                    theirs[name] *= 1.3
        lengths = ours.encoder.atom_embedding.weight.norm(dim=1)
        assert (lengths > 1.35).any(), "rows that no molecule has used so far are as long as they were"
        assert ((lengths - 1.3).abs() < 1e-6).any(), "rows that were used had been shortened"


def test_names_and_shapes_are_all_checked(equations, state):
    def complaint(**changes):
        broken = {name: tensor for name, tensor in {**state, **changes}.items() if tensor is not None}
        with pytest.raises(RunError) as caught:
            from_published(broken, "that.pt")
        text = str(caught.value)
        assert text.startswith("'that.pt' is not the published model's state dict: ")
        assert "\n" not in text
        return text

    without = {name: None for name in state if name.startswith("decoder_list.3.")}
    assert "it lacks decoder_list.3.* (the decoder of bray, 9 tensors); pass" in complaint(**without)
    without = {name: None for name in state if name.startswith("decoder_list.")}
    text = complaint(**without)
    assert all(f"(the decoder of {space}, 9 tensors)" in text for space in DECODERS)
    eps = "graph_encoder.convs.1.eps"
    assert f"it lacks {eps}; pass" in complaint(**{eps: None})
    without = {name: None for name in state if name.startswith("graph_encoder.convs.1.")}
    assert "it lacks graph_encoder.convs.1.* (13 tensors); pass" in complaint(**without)
    without = {name: None for name in state if name.startswith("graph_encoder.mlp_virtualnode_list.1.")}
    assert "it lacks graph_encoder.mlp_virtualnode_list.1.* (14 tensors); pass" in complaint(**without)
    one = torch.zeros(1)
    text = complaint(
        **{"task_decoder.fc1.weight": one, "task_decoder.fc1.bias": one, "dist_net.1.scale": one}
    )
    assert ": left over are task_decoder.* (2 tensors), dist_net.1.scale; pass" in text
    text = complaint(**{"decoder_list.6.fc1.weight": one, eps: None})
    assert f"it lacks {eps}; left over are decoder_list.6.fc1.weight; pass" in text.replace(".*", "")
    for name, tensor in state.items():
        if is_unused(name):
            continue
        wrong = torch.zeros(*tensor.shape, 2)
        assert f"{name} has the shape {tuple(wrong.shape)} where" in complaint(**{name: wrong}), name
    name = "decoder_list.2.fc2.bias"
    assert "has the shape (4,) where (5,) belongs" in complaint(**{name: torch.zeros(4)})
    assert f"{name} holds numbers that are not finite" in complaint(**{name: torch.full((5,), torch.nan)})
    with pytest.raises(RunError, match="among its 1 tensors is no graph_encoder with embeddings"):
        from_published({"weight": one}, "that.pt")


def test_the_unused_bond_encoder_may_be_left_out(state):
    assert from_published(state, "it").unused == 3
    assert from_published({n: t for n, t in state.items() if not is_unused(n)}, "it").unused == 0


def test_half_precision_is_read(state):
    halves = {n: t.half() if t.is_floating_point() else t for n, t in state.items()}
    model = from_published(halves, "it").model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


class Malicious:
    """Unpickling it would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch '{self.path}'",))


@pytest.mark.parametrize("way", ["zip", "legacy", "pickle", "pickle 0"])
def test_a_file_that_would_run_code_is_refused(state, tmp_path, way):
    trace = tmp_path / "it-ran"
    file = tmp_path / "pretrain.pt"
    content = {**state, "dist_net.1.weight": Malicious(trace)}
    if way.startswith("pickle"):
        file.write_bytes(pickle.dumps(Malicious(trace), protocol=0 if way == "pickle 0" else None))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=way == "zip")
    with pytest.raises(RunError) as caught:
        import_reference(file, tmp_path / "run")
    assert not trace.exists()
    assert not (tmp_path / "run").exists()
    text = str(caught.value)
    if way in ("zip", "legacy"):
        assert f"'{file}' asks for posix.system to be called while it is read" in text
    else:
        assert "is cut off, damaged or no file of tensors" in text or "asks for posix.system" in text
    assert "\n" not in text
    with file.open("rb") as stream:  # had it been read as any pickle
        if way.startswith("pickle"):
            pickle.load(stream)
        else:
            torch.load(stream, weights_only=False)
    assert trace.exists()


def test_what_is_no_state_dict_is_named(state, tmp_path):
    file = tmp_path / "it.pt"

    def complaint(content):
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            torch.save(content, file)
        with pytest.raises(RunError) as caught:
            read_state_dict(file)
        return str(caught.value)

    assert "is no state dict, names with one tensor each, but a list" in complaint([1, 2])
    assert "but one whose 'state_dict' is a dict" in complaint({"state_dict": state})
    assert "asks for torch.nn.modules.linear.Linear to be called" in complaint(torch.nn.Linear(2, 2))
    assert "cut off, damaged or no file of tensors" in complaint(b"hello\n")
    assert "cut off, damaged or no file of tensors" in complaint(b"")
    with pytest.raises(RunError, match=r"'.*nowhere\.pt' cannot be read \(No such file or directory\)"):
        read_state_dict(tmp_path / "nowhere.pt")
    with pytest.raises(RunError, match=r"nowhere\.safetensors' cannot be read"):
        read_state_dict(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("way", ["zip", "legacy", "safetensors"])
def test_a_file_that_was_cut_off_or_overwritten_is_named(state, tmp_path, way):
    whole = tmp_path / "whole"
    if way == "safetensors":
        save_file(state, whole)
    else:
        torch.save(state, whole, _use_new_zipfile_serialization=way == "zip")
    content = whole.read_bytes()
    file = tmp_path / ("it.safetensors" if way == "safetensors" else "it.pt")
    for length in np.linspace(0, len(content) - 1, 25).astype(int):
        file.write_bytes(content[:length])
        with pytest.raises(RunError, match="cut off, damaged"):
            read_state_dict(file)
    rng = np.random.default_rng(0)
    for _ in range(100):  # some changes go unseen here, none leaves by another error
        changed = bytearray(content)
        for place in rng.integers(0, min(len(content), 3000), 3):
            changed[place] = rng.integers(256)
        file.write_bytes(bytes(changed))
        try:
            from_published(read_state_dict(file), "it")
        except RunError:
            continue
