"""Encoders, losses and readers of your own, each under a name that settings and specs can give.

A program registers its parts and then calls the package. A command finds them in files or modules that the
environment variable ``INFOALIGN_EXTENSIONS`` names (``my_encoder.py``, or ``a.py:package.b``), and in
installed packages that declare the entry point ``infoalign_dgl.extensions``; they are imported when a name
is asked for that is not built in, so that they cost nothing otherwise. A run folder never says what to
import: a run of somebody else's cannot have code executed.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import re
import sys
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from infoalign_dgl.errors import ExtensionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import torch

    from infoalign_dgl.models.objective import LossTerms
    from infoalign_dgl.sources.files.base import Cells

Kind = Literal["encoder", "loss", "reader", "ending"]

VARIABLE = "INFOALIGN_EXTENSIONS"
GROUP = "infoalign_dgl.extensions"
_NAME = re.compile(r"[a-z][a-z0-9-]*")
_ENDING = re.compile(r"\.[a-z0-9]+")

_registered: dict[Kind, dict[str, Any]] = {"encoder": {}, "loss": {}, "reader": {}, "ending": {}}


def register_encoder(name: str, make: Callable[..., torch.nn.Module]) -> None:
    """Let ``encoder=name`` mean a network of yours.

    Parameters
    ----------
    name : str
        Lower-case letters, digits and ``-``. It stands in the run's ``config.json``: whoever loads the run
        must have registered the encoder too.
    make : callable
        ``make(hidden, layers, dropout)`` makes the ``torch.nn.Module``; a class of that signature will do.
        The module is called with a :class:`~infoalign_dgl.molecules.batch.MoleculeBatch` of B molecules and
        the name of a backend (``"torch"`` or ``"dgl"``, which it may ignore), and returns a tensor of shape
        (B, hidden).

    Raises
    ------
    ExtensionError
        If the name is no such name or taken, or ``make`` does not take these arguments.
    """
    from infoalign_dgl.models.config import ENCODER_NAMES

    _check_arguments("encoder", name, make, 1, 2, 0.0)
    _register("encoder", name, make, ENCODER_NAMES)


def register_loss(name: str, loss: Callable[..., LossTerms]) -> None:
    """Let ``loss=name`` mean an objective of yours.

    Parameters
    ----------
    name : str
        Lower-case letters, digits and ``-``.
    loss : callable
        Called as :func:`~infoalign_dgl.models.objective.eq3_loss` is, and returns
        :class:`~infoalign_dgl.models.objective.LossTerms` with a term for each feature space of the targets,
        in their order. What it divides by has to be of the ``totals`` it is given, which are those of the
        whole batch: then micro-batches and processes add up.

    Raises
    ------
    ExtensionError
        If the name is no such name or taken, or ``loss`` does not take these arguments.
    """
    from infoalign_dgl.training.config import LOSSES

    _check_arguments("loss", name, loss, None, None, {}, None, beta=0.0, path_nodes=1)
    _register("loss", name, loss, LOSSES)


def register_reader(
    name: str,
    header: Callable[[Path], list[str]],
    read: Callable[[Path, Sequence[str], Sequence[str]], Cells],
    *,
    endings: Sequence[str] = (),
) -> None:
    """Let ``format = name`` in a spec, and files of some endings, mean a kind of table of yours.

    Parameters
    ----------
    name : str
        Lower-case letters, digits and ``-``.
    header : callable
        ``header(path)`` returns the names of the columns.
    read : callable
        ``read(path, text, numbers)`` returns :class:`~infoalign_dgl.sources.files.base.Cells` with those
        columns as text and as numbers; :func:`infoalign_dgl.sources.files.base.take` makes one.
    endings : sequence of str
        Of files that are such tables whatever ``format`` says, such as ``".jsonl"``; also with ``.gz``.

    Raises
    ------
    ExtensionError
        If the name or an ending is none or taken, or a function does not take these arguments.
    """
    from infoalign_dgl.sources.tables import BUILT_IN_ENDINGS, BUILT_IN_READERS, Reader

    _check_arguments("reader", name, header, Path())
    _check_arguments("reader", name, read, Path(), (), ())
    for ending in endings:
        if not _ENDING.fullmatch(ending) or ending == ".gz" or ending in BUILT_IN_ENDINGS:
            raise ExtensionError(
                f"reader '{name}' cannot have the ending {ending!r}: give one such as '.jsonl', lower-case, "
                f"that is not read yet ({', '.join(BUILT_IN_ENDINGS)} are)"
            )
        owner = _registered["ending"].get(ending, name)
        if owner != name:
            raise ExtensionError(f"reader '{name}' cannot have the ending '{ending}', which '{owner}' has")
    _register("reader", name, Reader(header, read), BUILT_IN_READERS)
    _registered["ending"].update(dict.fromkeys(endings, name))


def find(kind: Kind, name: str) -> Any | None:
    """Return what is registered under a name, extensions being imported first where it is none yet.

    Parameters
    ----------
    kind : {"encoder", "loss", "reader", "ending"}
        Of an ending, its reader's name is returned.
    name : str
        A name that is not built in.

    Returns
    -------
    object or None
        None where nothing is registered.

    Raises
    ------
    ExtensionError
        If an extension cannot be imported.
    """
    if name not in _registered[kind]:
        _import_extensions(os.environ.get(VARIABLE, ""))
    return _registered[kind].get(name)


def names(kind: Kind) -> list[str]:
    """Return the names registered so far, in order; extensions that nobody asked for yet are not imported."""
    return list(_registered[kind])


def how_to_register(function: str) -> str:
    """End of a sentence about a name that is not known: how it would be."""
    return (
        f"one of your own is known once {function} was called, for a command in a file or module that the "
        f"environment variable {VARIABLE} names"
    )


def _register(kind: Kind, name: str, part: Any, built_in: Iterable[str]) -> None:
    """Keep a part under its name; one from elsewhere does not replace it."""
    if not _NAME.fullmatch(name):
        raise ExtensionError(f"{kind} {name!r} has no name that can be given: use a-z, 0-9 and '-'")
    if name in built_in:
        raise ExtensionError(f"{kind} '{name}' comes with the package: choose another name")
    before = _registered[kind].get(name)
    if before is not None and _origin(before) != _origin(part):
        raise ExtensionError(
            f"{kind} '{name}' is registered already, by {'.'.join(_origin(before))}: choose another name"
        )
    _registered[kind][name] = part


def _origin(part: Any) -> tuple[str, str]:
    """Return module and name of a part: the same after a notebook's cell was run again."""
    made = getattr(part, "read", part)  # a reader is known by its function
    return made.__module__, getattr(made, "__qualname__", type(made).__qualname__)


def _check_arguments(kind: Kind, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    if not callable(function):
        raise ExtensionError(f"{kind} '{name}' is {function!r}, which cannot be called: give a function")
    try:
        signature = inspect.signature(function)
    except ValueError:  # some builtins have none
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ExtensionError(
            f"{kind} '{name}' does not take the arguments that it will be given ({error}; it takes "
            f"{signature}): see register_{kind}"
        ) from error


@cache
def _import_extensions(named: str) -> None:
    """Import what the variable names, and what installed packages declare, once."""
    for word in filter(None, named.split(os.pathsep)):
        _run(f"'{word}' of {VARIABLE}", partial(_import_one, word))
    for entry in importlib.metadata.entry_points(group=GROUP):
        _run(f"the entry point '{entry.name} = {entry.value}'", entry.load)


def _run(what: str, load: Callable[[], Any]) -> None:
    try:
        load()
    except ExtensionError:
        raise
    except Exception as error:  # somebody's program, in which anything may fail
        raise ExtensionError(
            f"{what} could not be imported ({type(error).__name__}: {error}): mend it, or leave it out"
        ) from error


def _import_one(word: str) -> None:
    """Import a file by its path, or a module by its name."""
    if not word.endswith(".py"):
        importlib.import_module(word)
        return
    path = Path(word).resolve()
    loaded = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    if str(path) in loaded:  # the program that runs has imported it, or is it
        return
    if path.stem in sys.modules:
        raise ExtensionError(
            f"'{word}' of {VARIABLE} cannot be imported as '{path.stem}', since another module of that name "
            "is loaded already: rename the file"
        )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # where dataclasses and pickle look for it
    try:
        spec.loader.exec_module(module)
    except BaseException:  # also where it was interrupted: half a module must not pass for a whole one
        del sys.modules[path.stem]
        raise
