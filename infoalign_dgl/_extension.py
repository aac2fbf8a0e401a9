"""The extension module: loaded once, and what its absence means."""

from __future__ import annotations

import importlib
import warnings
from functools import cache
from typing import Any

from infoalign_dgl.errors import WalkError


@cache
def load_native() -> Any | None:
    """Import the extension module; None, with one warning, where it was not built or does not load."""
    try:
        return importlib.import_module("infoalign_dgl._native")
    except ImportError as error:
        warnings.warn(
            f"the native kernels are not available ({error}): walks run on numba, similarity on numpy and "
            "the encoder on torch alone, which is slower; install a C++ compiler and then infoalign-dgl "
            "again",
            RuntimeWarning,
            stacklevel=3,
        )
        return None


def require_native() -> Any:
    """Give the extension module.

    Raises
    ------
    WalkError
        If it is not available.
    """
    native = load_native()
    if native is None:
        raise WalkError(
            "backend 'native' is not available: install a C++ compiler and then infoalign-dgl again"
        )
    return native
