"""Parts of one's own: what registration refuses, where commands look, what a run without its encoder says."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from infoalign_dgl import extensions
from infoalign_dgl.errors import ExtensionError, RunError, SourceError
from infoalign_dgl.extensions import VARIABLE, register_encoder, register_loss, register_reader
from infoalign_dgl.models import ModelConfig
from infoalign_dgl.models.encoder import make_encoder
from infoalign_dgl.models.infoalign import InfoAlign
from infoalign_dgl.models.objective import LossTerms, objective
from infoalign_dgl.molecules import featurize
from infoalign_dgl.sources.files import parquet
from infoalign_dgl.sources.tables import format_by_ending, read_header
from infoalign_dgl.training import PretrainConfig
from infoalign_dgl.training.checkpoint import Progress, load_model, save_checkpoint
from infoalign_dgl.training.run_folder import read_config


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """Nothing is registered before, and nothing stays."""
    monkeypatch.setattr(extensions, "_registered", {kind: {} for kind in extensions._registered})
    monkeypatch.delenv(VARIABLE, raising=False)


class Constant(torch.nn.Module):
    """Gives every molecule ones, ``columns`` of them."""

    def __init__(self, hidden, layers, dropout, columns=None):
        super().__init__()
        self.columns = columns or hidden

    def forward(self, batch, backend):
        return torch.ones(batch.num_molecules, self.columns)


def no_loss(model, latent, targets, totals, *, beta, path_nodes):
    zero = torch.zeros(())
    return LossTerms(zero, zero, dict.fromkeys(targets, zero))


def wordless(path):
    return ["id"]


@pytest.mark.parametrize(
    ("register", "message"),
    [
        (lambda: register_encoder("gin", Constant), "encoder 'gin' comes with the package"),
        (lambda: register_encoder("My Net", Constant), "encoder 'My Net' has no name that can be given"),
        (lambda: register_encoder("net", 3), "encoder 'net' is 3, which cannot be called"),
        (lambda: register_encoder("net", lambda hidden: None), "encoder 'net' does not take the arguments"),
        (lambda: register_loss("eq3", no_loss), "loss 'eq3' comes with the package"),
        (lambda: register_loss("l", lambda model, latent: None), "loss 'l' does not take the arguments"),
        (lambda: register_reader("csv", wordless, parquet.read), "reader 'csv' comes with the package"),
        (lambda: register_reader("r", wordless, wordless), "reader 'r' does not take the arguments"),
        (
            lambda: register_reader("r", wordless, parquet.read, endings=["jsonl"]),
            "reader 'r' cannot have the ending 'jsonl': give one such as '.jsonl'",
        ),
        (
            lambda: register_reader("r", wordless, parquet.read, endings=[".csv"]),
            "cannot have the ending '.csv'",
        ),
    ],
)
def test_what_registration_refuses(register, message):
    with pytest.raises(ExtensionError, match=message):
        register()
    assert not any(extensions._registered.values())


def test_a_name_is_taken_once_and_may_be_given_again_by_the_same_code():
    register_encoder("net", Constant)
    register_encoder("net", Constant)
    with pytest.raises(ExtensionError, match=r"'net' is registered already, by .*Constant: choose"):
        register_encoder("net", lambda hidden, layers, dropout: None)
    register_reader("r", wordless, parquet.read, endings=[".r"])
    with pytest.raises(ExtensionError, match=r"'s' cannot have the ending '.r', which 'r' has"):
        register_reader("s", wordless, parquet.read, endings=[".r"])


def test_registered_names_are_settings():
    for values in ({"encoder": "net"}, {"loss": "none"}):
        with pytest.raises(
            RunError, match=f"not '{next(iter(values.values()))}'; one of your own is known once"
        ):
            PretrainConfig(**values)
    register_encoder("net", Constant)
    register_loss("none", no_loss)
    config = PretrainConfig(encoder="net", loss="none")
    assert PretrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert isinstance(make_encoder("net", hidden=4, layers=2, dropout=0.0), Constant)
    targets = {"a": None, "b": None}
    assert list(objective("none", None, None, targets, None, beta=1, path_nodes=5).spaces) == ["a", "b"]


def test_a_run_is_read_without_its_loss_but_not_started():
    values = {**PretrainConfig().to_json(), "loss": "gone"}
    config = PretrainConfig.from_json(values)
    assert config.loss == "gone"
    assert config.to_json() == {**values, "spaces": None}
    with pytest.raises(RunError, match="'loss' must be one of balanced, eq3, reference, not 'gone'"):
        PretrainConfig(**config.to_json())


def test_a_run_says_that_its_encoder_is_missing(tmp_path):
    register_encoder("net", Constant)
    config = {"format_version": 1, "model": ModelConfig("net", 4, 2).to_json(), "pretrain": None, "graph": {}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_config(tmp_path).model.encoder == "net"
    extensions._registered["encoder"].clear()
    with pytest.raises(
        RunError, match=r"trained with the encoder 'net', which does not come with the package"
    ):
        read_config(tmp_path)


def test_weights_of_another_encoder_of_that_name(tmp_path):
    register_encoder("net", lambda hidden, layers, dropout: torch.nn.Linear(hidden, layers))
    made = InfoAlign(ModelConfig("net", 4, 2))
    folder = save_checkpoint(tmp_path, made, None, Progress(step=1), keep=1)
    load_model(folder, made)
    with pytest.raises(RunError, match=r"register the encoder 'net' as it was when the run was trained"):
        load_model(folder, InfoAlign(ModelConfig("net", 4, 3)))


def test_what_parts_return_is_checked():
    batch = featurize(["CC", "CO"])[0].gather(torch.arange(2).numpy())
    register_encoder("narrow", lambda hidden, layers, dropout: Constant(hidden, layers, dropout, 3))
    register_encoder("nothing", lambda hidden, layers, dropout: None)
    with pytest.raises(RunError, match=r"gave 2 molecules a tensor of shape \(2, 3\): it must be \(2, 4\)"):
        InfoAlign(ModelConfig("narrow", 4, 2)).encode(batch)
    with pytest.raises(RunError, match="encoder 'nothing' made None, which is no"):
        InfoAlign(ModelConfig("nothing", 4, 2))
    zero = torch.zeros(())
    register_loss("half", lambda *_, **__: LossTerms(zero, zero, {"a": zero}))
    register_loss("number", lambda *_, **__: 3.0)
    for name, given in (("half", r"\['a'\]"), ("number", "float")):
        with pytest.raises(RunError, match=rf"loss '{name}' gave {given}: it must give .*\['a', 'b'\]"):
            objective(name, None, None, {"a": 1, "b": 2}, None, beta=1, path_nodes=5)


def test_a_spec_takes_registered_formats(tmp_path):
    from infoalign_dgl.context.spec import read_spec
    from infoalign_dgl.errors import SpecError

    spec = tmp_path / "s.toml"
    spec.write_text('[[molecules]]\nname = "m"\nfile = "m.dat"\nsmiles = "s"\nformat = "parquett"\n')
    with pytest.raises(
        SpecError, match="key 'format': there is no format 'parquett': did you mean 'parquet'"
    ):
        read_spec(spec)
    register_reader("parquett", wordless, parquet.read, endings=[".dat"])
    assert read_spec(spec).molecules[0].format == "parquett"
    assert format_by_ending(tmp_path / "m.dat.gz") == "parquett"
    (tmp_path / "m.dat").touch()
    assert read_header(tmp_path / "m.dat") == ["id"]
    assert format_by_ending(tmp_path / "m.other") is None
    with pytest.raises(SourceError, match="there is no format 'nothing'"):
        read_header(tmp_path / "m.dat", format="nothing")


ASK = "from infoalign_dgl.extensions import find; print(find('loss', 'mine'), find('loss', 'mine'))"
PART = (
    "from infoalign_dgl.extensions import register_loss\n"
    "class Mine:\n"
    "    def __call__(self, model, latent, targets, totals, *, beta, path_nodes): ...\n"
    "    def __repr__(self): return 'found'\n"
    "print('imported')\n"
    "register_loss('mine', Mine())\n"
)


def ask(folder, named=None):
    """What a process prints that looks for the loss 'mine'."""
    environment = {**os.environ, "PYTHONPATH": str(folder)} | ({VARIABLE: named} if named else {})
    return subprocess.run(
        [sys.executable, "-c", ASK], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("named", ["part.py", "part", "part.py:part"])
def test_a_file_or_module_is_imported_once(tmp_path, named):
    (tmp_path / "part.py").write_text(PART)
    assert ask(tmp_path).stdout == "None None\n"
    assert ask(tmp_path, named).stdout == "imported\nfound found\n"


def test_an_installed_package_needs_no_variable(tmp_path):
    (tmp_path / "part.py").write_text(PART)
    about = tmp_path / "part-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: part\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[infoalign_dgl.extensions]\nmine = part\n")
    assert ask(tmp_path).stdout == "imported\nfound found\n"


@pytest.mark.parametrize(
    ("named", "content", "message"),
    [
        ("gone.py", "", "'gone.py' of INFOALIGN_EXTENSIONS could not be imported (FileNotFoundError"),
        ("bad.py", "1 / 0", "'bad.py' of INFOALIGN_EXTENSIONS could not be imported (ZeroDivisionError"),
        ("no.such", "", "'no.such' of INFOALIGN_EXTENSIONS could not be imported (ModuleNotFoundError"),
    ],
)
def test_an_extension_that_cannot_be_imported(tmp_path, named, content, message):
    if content:
        (tmp_path / named).write_text(content)
    assert f"ExtensionError: {message}" in ask(tmp_path, named).stderr


def test_a_file_does_not_take_the_place_of_a_module(tmp_path, monkeypatch):
    """Whoever imports json later would get the extension."""
    (tmp_path / "json.py").write_text("raise SystemError('not to be reached')\n")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "json.py"))
    with pytest.raises(
        ExtensionError, match="another module of that name is loaded already: rename the file"
    ):
        extensions.find("loss", "mine")
    assert sys.modules["json"] is json
