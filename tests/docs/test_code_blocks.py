"""Every command and code block of README and docs runs, or says by a mark why it does not."""

from __future__ import annotations

import doctest
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from infoalign_dgl.cli.main import COMMANDS

pytestmark = pytest.mark.timeout(900)  # seconds, with what is made once for all, on a busy machine
ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def run_session(text, namespace, where):
    """Run a Python session and compare what it shows."""
    test = doctest.DocTestParser().get_doctest(text, namespace, where, where, 0)
    shown = []
    failed = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(
        test, out=shown.append, clear_globs=False
    )
    namespace.update(test.globs)
    assert failed.failed == 0, "".join(shown)


def run(block, namespace, where, blocks):
    if block.language in {"bash", "console"}:
        blocks.run_shell(blocks.typed(block))
    elif block.language == "pycon":
        run_session(block.text, namespace, where)
    else:
        exec(compile(block.text, where, "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_run_or_say_why_not(page, blocks, stand_ins, tmp_path, monkeypatch):
    found = blocks.blocks_of(page.read_text())
    if any(block.fate == "run" for block in found):
        shutil.copytree(stand_ins(), tmp_path, dirs_exist_ok=True, symlinks=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    namespace = {"__name__": "__main__"}
    for block in found:
        where = f"{page.relative_to(ROOT)}:{block.line}"
        try:
            blocks.check(block, page)
            if block.fate == "file":
                Path(block.says).parent.mkdir(parents=True, exist_ok=True)
                Path(block.says).write_text(block.text)
            elif block.fate == "run":
                run(block, namespace, where, blocks)
        except Exception as error:
            error.add_note(f"in the block at {where}, marked '{block.mark}': {block.says}")
            raise
    if "matplotlib" in sys.modules:
        sys.modules["matplotlib"].pyplot.close("all")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_inline_commands_options_and_files_exist(page, blocks):
    wrong = []
    for code in blocks.inline_code(page.read_text()):
        words = code.removeprefix("infoalign-dgl ").split()
        if code.startswith("infoalign-dgl ") or (words and words[0] in COMMANDS and len(words) > 1):
            if words[0].startswith("-"):
                continue
            known = {
                name
                for parameter in (blocks.command_named(words[0]).params if words[0] in COMMANDS else ())
                for name in (*parameter.opts, *parameter.secondary_opts, "--help", "-h")
            }
            options = re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", code)
            if words[0] not in COMMANDS or set(options) - known:
                wrong.append(code)
        path = r"(infoalign_dgl|cli|csrc|tests|docs|examples|notebooks|benchmarks)/[\w./-]+\.\w+"
        if re.fullmatch(path, code) and not (ROOT / code).exists():
            wrong.append(code)
    assert wrong == []


def test_every_kind_of_block_is_met(blocks):
    """Blocks are counted, so that a test that finds none does not pass for one that runs them."""
    fates = Counter(block.fate for page in PAGES for block in blocks.blocks_of(page.read_text()))
    print(dict(fates))
    assert fates["run"] >= 4
    assert fates["checked"] >= 5


PAGE = """
```bash
infoalign-dgl inspect graph --no-such
```

<!-- needs data: all of it -->
```bash
for s in a b; do infoalign-dgl retrieve RUN --queries Q --candidates C --space $s -o out/$s; done
```

<!-- runs in: tests/cli/test_sweep.py -->
```console
$ infoalign-dgl sweep graph --task T \\
>     -o out
```

````{note}
```python
x = 1
```
````

<!-- file: a/b.csv -->
```csv
a,b
```
"""


def test_marks_and_nested_blocks_are_read(blocks):
    found = blocks.blocks_of(PAGE)
    assert [(b.language, b.fate) for b in found] == [
        ("bash", "run"),
        ("bash", "checked"),
        ("console", "elsewhere"),
        ("python", "run"),
        ("csv", "file"),
    ]
    assert found[0].line == 2
    with pytest.raises(blocks.BadBlockError, match="--no-such"):
        blocks.check(found[0], Path("x.md"))
    for block in found[1:]:
        blocks.check(block, Path("x.md"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("```bash\ninfoalign-dgl pretain graph -o run\n```", "no command 'pretain'"),
        ("```bash\ninfoalign-dgl pretrain graph\n```", "'output' is missing|'out' is missing|missing"),
        ("```bash\ninfoalign-dgl pretrain graph -o run --epochs many\n```", "not a valid integer"),
        ("```bash\ninfoalign-dgl pretrain graph run -o run\n```", "what is"),
        (
            "<!-- runs in: docs/tour.md -->\n```bash\ninfoalign-dgl inspect graph --json\n```",
            "docs/tour.md runs no 'inspect graph --json'",
        ),
        (
            "<!-- runs in: docs/tour.md -->\n```bash\ninfoalign-dgl inspect graph --html graph.html; ls\n```",
            "docs/tour.md can only be said",
        ),
        ("<!-- runs in: docs/no.md -->\n```bash\ninfoalign-dgl doctor\n```", "docs/no.md runs no 'doctor'"),
        ("```bash\nmake nothing\n```", "no target 'nothing'"),
        ("```perl\nprint\n```", "unknown language 'perl'"),
        ("```\nnothing\n```", "unknown language ''"),
        (
            "<!-- runs in: tests/nowhere.py -->\n```bash\ninfoalign-dgl doctor\n```",
            "no test",
        ),
        ("<!-- runs in: tests/cli/test_check.py -->\n```bash\ninfoalign-dgl sweep g -o s\n```", "runs no"),
        ("```toml\n[similarity]\ntreshold = 0.8\n```", "treshold"),
        ('```toml\n[[molecules]]\nname = "a"\nfile = "a.csv"\nsmile = "s"\n```', "smile"),
        ("    infoalign-dgl doctor\n", "indented code"),
        ("```python\nfrom infoalign_dgl.walks import random_walk\n```", "random_walk"),
    ],
)
def test_wrong_blocks_are_refused(blocks, text, says):
    with pytest.raises(Exception, match=says):
        for block in blocks.blocks_of(text):
            blocks.check(block, Path("x.md"))


def test_a_part_of_a_spec_is_checked_by_itself(blocks):
    (block,) = blocks.blocks_of("```toml\n[similarity]\nthreshold = 0.7\n```")
    blocks.check(block, Path("x.md"))


def test_quotes_in_commands_are_kept(blocks):
    text = 'x=1 infoalign-dgl explain run --molecule "C(=O)" | tee a; -m infoalign_dgl.cli doctor  # (all)'
    assert blocks.our_commands(text) == [["explain", "run", "--molecule", "C(=O)"], ["doctor"]]
