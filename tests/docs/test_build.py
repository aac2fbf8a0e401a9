"""The documentation builds without a warning, has every public name and command, and needs no network."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import click
import pytest
from markdown_it import MarkdownIt
from sphinx.util.inventory import InventoryFile

from infoalign_dgl.cli.main import COMMANDS, cli

pytestmark = pytest.mark.timeout(900)  # seconds, with what is made once for all, on a busy machine
ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PACKAGES = ["context", "evaluation", "models", "molecules", "plots", "training", "walks"]


@pytest.fixture(scope="session")
def documented(site):
    """Names of Python objects that the reference has."""
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    kinds = [names for kind, names in inventory.data.items() if kind.startswith("py:")]
    return {name for names in kinds for name in names}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_in_the_reference(package, documented):
    names = importlib.import_module(f"infoalign_dgl.{package}").__all__
    assert [name for name in names if f"infoalign_dgl.{package}.{name}" not in documented] == []


def test_every_name_of_the_package_itself_leads_somewhere(site):
    page = (site / "api/infoalign_dgl.html").read_text()
    linked = set(re.findall(r'<a class="reference internal" href="[^"]+" title="[\w.]*?(\w+)"', page))
    names = set(importlib.import_module("infoalign_dgl").__all__) - {"__version__"}
    assert names <= linked


def test_every_command_and_option_is_in_the_reference(site):
    page = (site / "commands.html").read_text()
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        for option in (p for p in command.params if isinstance(p, click.Option) and not p.hidden):
            longest = max(option.opts, key=len)
            assert f'id="cmdoption-infoalign-dgl-{name}-{longest.lstrip("-")}"' in page, (name, longest)


def test_pages_load_nothing_from_elsewhere(site, browser):
    """Neither pages nor what they load ask for anything but files of the build; equations are drawn."""
    asked, said = [], []
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(120_000)  # ms
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda m: m.type in {"error", "warning"} and said.append(m.text))
    for name in ("index", "concepts", "commands", "api/context"):
        page.goto((site / f"{name}.html").as_uri())
    page.goto((site / "search.html").as_uri() + "?q=walk")
    page.locator("#search-results li a").first.wait_for()
    context.close()
    assert [url for url in asked if not url.startswith(("file://", "data:"))] == []
    assert said == []


def test_pages_fit_a_phone(site, browser, screenshots):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    context.set_default_timeout(120_000)  # ms
    page = context.new_page()
    wide = {}
    for path in sorted(site.rglob("*.html")):
        page.goto(path.as_uri())
        if (width := page.evaluate("document.documentElement.scrollWidth")) > 390:
            wide[path.name] = width
    page.goto((site / "index.html").as_uri())
    page.screenshot(path=screenshots / "docs-index-390.png")
    context.close()
    assert wide == {}


def test_an_equation_is_drawn_and_one_that_cannot_be_read_is_a_warning(tmp_path):
    for name in ("conf.py", "_ext", "_static"):
        (tmp_path / name).symlink_to(ROOT / "docs" / name)
    (tmp_path / "index.md").write_text(
        "# Page\n\n$$\\alpha_i = \\prod_{j<i} w_j$$ (eq)\n\nAs {eq}`eq` says, $x^2$.\n\n"
        "$\\nosuchcommand{x}$\n"
    )
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run([*command, tmp_path, tmp_path / "out"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    (warning,) = [line for line in done.stderr.splitlines() if "WARNING" in line]
    assert "equation cannot be read: \\nosuchcommand" in warning
    page = (tmp_path / "out/index.html").read_text()
    assert len(re.findall("<math ", page)) == 2
    assert '<mo movablelimits="true">∏</mo>' in page
    assert '<span class="eqno">(1)' in page


def links_of(path):
    """Addresses that a page links to, with line numbers; those of raw HTML too."""
    for block in MarkdownIt("commonmark").enable("table").parse(path.read_text()):
        line = block.map[0] + 1 if block.map else 0
        raw = [block] if block.type == "html_block" else []
        for token in [*(block.children or []), *raw]:
            if token.type == "link_open":
                yield line, token.attrs["href"]
            elif token.type == "image":
                yield line, token.attrs["src"]
            elif token.type in {"html_inline", "html_block"}:
                for found in re.findall(r'(?:href|src|srcset)="([^"]*)"', token.content):
                    yield line, found


def anchors_of(path):
    """The anchors that GitHub gives to a page's headings."""
    tokens = MarkdownIt("commonmark").parse(path.read_text())
    titles = [tokens[i + 1] for i, token in enumerate(tokens) if token.type == "heading_open"]
    texts = ["".join(part.content for part in title.children) for title in titles]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_anchors_that_are_there(page):
    wrong = []
    for line, link in links_of(page):
        if re.match(r"[a-z]+:", link):
            if not re.fullmatch(r"https://[\w.-]+\.\w+(:\d+)?(/\S*)?|mailto:\S+@\S+", link):
                wrong.append((line, link, "not https, or not an address"))
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists():
            wrong.append((line, link, "no such file"))
        elif not target.is_relative_to(ROOT):
            wrong.append((line, link, "leads out of the repository"))
        elif anchor and target.suffix == ".md" and anchor not in anchors_of(target):
            wrong.append((line, link, "no such heading"))
    assert wrong == []
