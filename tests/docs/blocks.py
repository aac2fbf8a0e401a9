"""Fenced blocks and inline code of a Markdown page, and what the marks before them say.

A block runs as it stands unless an HTML comment directly before its fence says otherwise:

    <!-- needs data: ... -->      (or download, GPU, ...) is checked, not run: commands parse, Python compiles
    <!-- runs in: tests/x.py -->  is checked, and run by that test; of a page, docs/x.md, by a block there
    <!-- file: name.csv -->       is written to that file of the page's folder, for later blocks
    <!-- not a spec: ... -->      TOML of something else
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import click
from click.testing import CliRunner
from markdown_it import MarkdownIt
from pydantic import ValidationError

from infoalign_dgl.cli.main import COMMANDS, cli
from infoalign_dgl.context import BuildSpec

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LANGUAGES = {"bash", "console", "python", "pycon", "toml", "json", "csv", "text", "yaml"}
DIRECTIVES = {"eval-rst", "toctree", "math", "figure", "image"}  # others hold Markdown
MARK = re.compile(r"^<!--\s*(needs [\w ]+|runs in|file|not a spec):\s*(.+?)\s*-->\s*$", re.DOTALL)
OURS = re.compile(r"(?:^|[\s;|(])(?:infoalign-dgl|-m infoalign_dgl\.cli)(?=\s)")


class BadBlockError(Exception):
    """What is wrong with a block, and where."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line it starts at, and its mark."""

    language: str
    text: str
    line: int
    mark: str = ""
    says: str = ""

    @property
    def fate(self):
        """What becomes of it: run, checked, run elsewhere, written to a file, or shown as output."""
        if self.mark == "file":
            return "file"
        if self.mark == "runs in":
            return "elsewhere"
        if self.language == "text":
            return "output"
        runs = self.language in {"bash", "console", "python", "pycon"} and not self.mark
        return "run" if runs else "checked"


def blocks_of(text, first_line=0):
    """All fenced blocks of a page, those within directives too."""
    found, before = [], None
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "fence":
            line = first_line + token.map[0] + 1
            name, directive = re.match(r"\{?([\w+-]*)(\}?)", token.info.strip()).groups()
            if directive and name in {"code-block", "code"}:
                name = token.info.split("}")[1].strip()
            elif directive:
                if name not in DIRECTIVES:
                    found += blocks_of(token.content, line)
                before = None
                continue
            mark, says = MARK.match(before.content.strip()).groups() if before else ("", "")
            found.append(Block(name, token.content, line, mark, says))
        if token.type == "code_block" and "─" not in token.content:  # a drawing may stand so
            raise BadBlockError(f"line {first_line + token.map[0] + 1}: indented code: fence it")
        comment = token.type == "html_block" and MARK.match(token.content.strip())
        before = token if comment else None
    return found


def inline_code(text):
    """All inline code of a page, tables included."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    return [child.content for t in tokens for child in t.children or [] if child.type == "code_inline"]


def lines_of(text):
    """Command lines, those that end with a backslash joined with the next."""
    return [line for line in re.sub(r"\\\n\s*", " ", text).splitlines() if line.strip()]


def typed(block):
    """What a user types of a block: of a console the lines after a prompt."""
    if block.language != "console":
        return block.text
    joined = re.sub(r"\\\n\s*(?:> )?\s*", " ", block.text)
    return "\n".join(line[2:] for line in joined.splitlines() if line.startswith("$ "))


def our_commands(text):
    """The words of each call of ``infoalign-dgl``, also within loops and pipes."""
    calls = []
    for line in filter(OURS.search, lines_of(text)):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        call = None
        for word, next_word in pairwise([*lexer, ";"]):
            if word == "infoalign-dgl" or (word, next_word) == ("-m", "infoalign_dgl.cli"):
                call = []
                calls.append(call)
            elif set(word) <= set("();<>|&"):
                call = None
            elif call is not None and word not in {"infoalign_dgl.cli", "..."}:
                call.append(word)
    return calls


@cache
def command_named(name):
    if name not in COMMANDS:
        raise BadBlockError(f"there is no command '{name}'")
    return cli.get_command(click.Context(cli), name)


def parse_command(words):
    """Check that words are a command with options that it has; files need not exist."""
    if words and words[0].startswith("-"):
        words_of_group = {name for parameter in cli.get_params(click.Context(cli)) for name in parameter.opts}
        if words[0] not in words_of_group:
            raise BadBlockError(f"infoalign-dgl has no option {words[0]}")
        return
    command = command_named(words[0])
    context = click.Context(command, info_name=words[0])
    try:
        values, rest, _ = command.make_parser(context).parse_args(words[1:])
        if rest:
            raise BadBlockError(f"{words[0]}: what is {rest}?")
        for parameter in command.params:
            value = values.get(parameter.name)
            given = parameter.name in values and value not in (None, ()) and "UNSET" not in repr(value)
            if parameter.required and not given and "help" not in values:
                raise BadBlockError(f"{words[0]}: '{parameter.name}' is missing")
            if given and not isinstance(parameter.type, click.Path):
                parameter.type_cast_value(context, value)
    except click.UsageError as error:
        raise BadBlockError(f"{words[0]}: {error.format_message()}") from error


def check_shell(text):
    """Check calls of this package, targets of make, and programs of the repository."""
    for words in our_commands(text):
        parse_command(words)
    targets = set(re.findall(r"(?m)^([\w-]+):", (ROOT / "Makefile").read_text()))
    for line in lines_of(text):
        bare = re.sub(r"^\$\s", "", line).strip()
        if (made := re.match(r"make\s+([\w-]+)", bare)) and made[1] not in targets:
            raise BadBlockError(f"there is no target '{made[1]}' in the Makefile")
        for program in re.findall(r"\bpython\s+((?:benchmarks|examples|tests)/\S+\.py)", bare):
            if not (ROOT / program).is_file():
                raise BadBlockError(f"there is no program {program}")


def check_python(text):
    """Check that it compiles, and that what it imports of this package is there."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("infoalign_dgl"):
            module = importlib.import_module(node.module)
            for name in node.names:
                if not hasattr(module, name.name):
                    importlib.import_module(f"{node.module}.{name.name}")


def check_toml(block):
    """Check that it is TOML, and a spec, whole or in part, unless it is marked as something else."""
    values = tomllib.loads(block.text)
    if block.mark:
        return
    try:
        BuildSpec.model_validate(values)
    except ValidationError as error:
        # What a part of a spec refers to stands elsewhere: only what is wrong within a table counts.
        if "molecules" in values or any(complaint["loc"] for complaint in error.errors()):
            raise


def check_elsewhere(block, page):
    """Check that the test that is named is there, and calls the commands or reads the page."""
    if block.says.endswith(".md"):
        check_on_page(block)
        return
    for named in re.split(r",\s*", block.says):
        if not (ROOT / named).is_file():
            raise BadBlockError(f"there is no test {named}")
    tests = "\n".join((ROOT / named).read_text() for named in re.split(r",\s*", block.says))
    if page.name in tests:
        return
    if block.language in {"bash", "console"}:
        wanted = {words[0] for words in our_commands(typed(block))}
        missing = [word for word in sorted(wanted) if f'"{word}"' not in tests and f'"{word} ' not in tests]
    else:
        wanted = {max(re.findall(r"[\w.]+", block.text), key=len)}
        missing = [word for word in wanted if word not in tests]
    if missing or not wanted:
        raise BadBlockError(f"{block.says} runs no {missing or 'command of it'}")


def check_on_page(block):
    """Check that blocks of another page run the block's commands, perhaps with more options."""
    other = ROOT / block.says
    run = [found for found in blocks_of(other.read_text()) if found.fate == "run"] if other.is_file() else []
    there = [set(words) for found in run for words in our_commands(typed(found))]
    for words in our_commands(typed(block)):
        if not any(set(words) <= more for more in there):
            raise BadBlockError(f"{block.says} runs no '{shlex.join(words)}'")
    if calls_in(typed(block)) is None:
        raise BadBlockError(f"{block.says} can only be said to run commands of this package")


def calls_in(text):
    """The words of each line, where all are plain calls of this package; else None."""
    lines = [line for line in lines_of(text) if not line.lstrip().startswith("#")]
    calls = [shlex.split(line, comments=True) for line in lines]
    plain = all(words[0] == "infoalign-dgl" and not set("|&;<>$") & set("".join(words)) for words in calls)
    return calls if plain else None


def run_shell(text):
    """Run command lines in the current folder and return what they print.

    Those that are calls of this package alone run without the seconds that a process takes.
    """
    calls = calls_in(text)
    if calls is not None:
        printed = []
        for words in calls:
            done = CliRunner().invoke(cli, words[1:], catch_exceptions=False)
            assert done.exit_code == 0, f"{words}: {done.output}"
            printed.append(done.stdout)
        return "".join(printed)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def check(block, page):
    """Check a block without running it."""
    if block.language not in LANGUAGES:
        raise BadBlockError(f"unknown language '{block.language}': use one of {sorted(LANGUAGES)}")
    if block.mark == "runs in":
        check_elsewhere(block, page)
    if block.language in {"bash", "console"}:
        check_shell(typed(block))
    elif block.language == "text":
        shown = [line for line in lines_of(block.text) if re.match(r"(\$ |infoalign-dgl )", line)]
        check_shell("\n".join(shown))
    elif block.language == "python":
        check_python(block.text)
    elif block.language == "toml":
        check_toml(block)
    elif block.language == "json":
        json.loads(block.text)
