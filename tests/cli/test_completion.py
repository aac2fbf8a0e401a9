"""Completion in a real bash: what it offers after the words that stand on the line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infoalign_dgl.cli.main import COMMANDS

BASH = shutil.which("bash")
COMPLETE = """
eval "$(_INFOALIGN_DGL_COMPLETE=bash_source infoalign-dgl)"
COMP_WORDS=({words}); COMP_CWORD={last}; COMP_LINE="{words}"; COMP_POINT=${{#COMP_LINE}}
_infoalign_dgl_completion infoalign-dgl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def offered(words: str) -> set[str]:
    """What bash would offer for the last of the words."""
    last = len(words.split()) - (not words.endswith(" "))
    done = subprocess.run(
        [BASH, "-c", COMPLETE.format(words=words, last=last)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
    )
    return set(done.stdout.split())


pytestmark = pytest.mark.skipif(BASH is None, reason="there is no bash to complete in")


def test_commands_are_offered():
    assert offered("infoalign-dgl pre") == {"predict", "pretrain"}
    assert offered("infoalign-dgl ") == set(COMMANDS)


def test_options_and_their_values_are_offered():
    assert "--walk-length" in offered("infoalign-dgl pretrain --w")
    assert offered("infoalign-dgl pretrain --loss ") == {"balanced", "eq3", "reference"}
