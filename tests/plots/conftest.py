"""What tests of figures share: a simulated graph, and no figure left open."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest


@pytest.fixture
def graph(simulated):
    return simulated


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")
