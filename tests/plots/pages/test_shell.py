"""The frame of all pages: it holds together in a browser, and no data can break out of it."""

from __future__ import annotations

import json

import jinja2
import pytest

from infoalign_dgl.plots.pages.shell import _environment, render

NASTY = "</script><script>window.broken = true</script><!-- & \u2028 ' \""


@pytest.fixture
def page(tmp_path):
    """A page whose text and data are hostile."""
    source = (
        '{% extends "page.html" %}{% block title %}{{ text }}{% endblock %}'
        "{% block main %}<p id='said'>{{ text }}</p>{% endblock %}"
        '{% block scripts %}<script type="application/json" id="data">{{ data|script_json }}</script>'
        "{% endblock %}"
    )
    path = tmp_path / "page.html"
    path.write_text(_environment().from_string(source).render(version="0", text=NASTY, data={"text": NASTY}))
    return path


def test_hostile_text_stays_text(page, open_page):
    shown = open_page(page).page
    assert shown.locator("#said").text_content() == NASTY
    assert json.loads(shown.locator("#data").text_content()) == {"text": NASTY}
    assert shown.evaluate("window.broken") is None


def test_the_theme_follows_the_system_until_the_button_is_pressed(page, open_page):
    for dark in (False, True):
        shown = open_page(page, dark=dark).page
        first = shown.evaluate("document.documentElement.dataset.theme")
        assert first == ("dark" if dark else "light")
        shown.keyboard.press("Tab")
        shown.locator("#theme").focus()
        shown.keyboard.press("Enter")
        assert shown.evaluate("document.documentElement.dataset.theme") != first


def test_a_name_that_a_template_lacks_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        _environment().from_string("{{ nothing }}").render()


def test_requests_and_errors_are_noticed(tmp_path, open_page):
    """The fixture that all pages are opened with sees what it fails a test on."""
    beside = tmp_path / "beside.css"
    beside.write_text("")
    page = tmp_path / "page.html"
    more = '<link rel="stylesheet" href="beside.css">'
    more += '<script>console.error("said"); throw new Error("thrown")</script>'
    page.write_text(render("page.html").replace("<style>", more + "<style>", 1))
    shown = open_page(page)
    assert shown.requests == [beside.as_uri()]
    assert sorted(shown.errors) == ["said", "thrown"]
    shown.requests.clear()
    shown.errors.clear()
