"""docs/getting-started.md, followed in an empty folder as a newcomer would, prints what the page shows."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "getting-started.md"
pytestmark = pytest.mark.timeout(900)  # seconds, with what is made once for all, on a busy machine
TRAINED = "Molecules held out"  # the block of a run's losses, which are those of one processor


def test_each_step_prints_what_the_page_shows(followed, blocks):
    told = (followed / "printed.txt").read_text()
    printed = {line.rstrip() for line in told.splitlines()}
    outputs = [found.text for found in blocks.blocks_of(PAGE.read_text()) if found.language == "text"]
    shown = [text for text in outputs if "walks: native" not in text]
    assert len(shown) == len(outputs) - 1 == 5
    for text in shown:
        lines = text.splitlines()
        if text.startswith(TRAINED):
            lines = lines[:2]
        assert [line for line in lines if line.rstrip() not in printed] == []
    differences = re.findall(r"^(?:fingerprint|expression|simulated_\w+|gene_\w+).* (-0\.\d+)$", told, re.M)
    assert len(differences) == 5, "a decoder is no better than the column means"
    table = pd.read_parquet(followed / "vectors.parquet")
    assert list(table.columns[:3]) == ["smiles", "error", "embedding_0"]
    assert table["embedding_63"].isna().tolist() == [False, False, True]


def test_each_step_is_run(blocks):
    """The blocks of the page that are marked as run by the test above are all that a newcomer types."""
    found = blocks.blocks_of(PAGE.read_text())
    typed = [block for block in found if block.language in {"bash", "python"}]
    assert [block.says for block in typed if "make install" not in block.text] == [
        "tests/docs/test_getting_started.py"
    ] * 5
