"""The report in a real browser: drawn, readable in light and in dark, usable on a phone, and in need of nothing else.

Pictures of what the browser showed are kept in build/screenshots.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import Tab, open_tab
from tests.finished_run import FinishedRun

LOOKS = [(size, scheme) for size in ("wide", "phone") for scheme in ("light", "dark")]
LEAST_CONTRAST = 4.5  # of text with what lies behind it: level AA of WCAG 2


@pytest.fixture(scope="module", params=LOOKS, ids=" ".join)
def report(request: pytest.FixtureRequest, browser: Browser, finished_run: FinishedRun) -> Iterator[Tab]:
    """The report of the finished run as one kind of reader sees it."""
    size, scheme = request.param
    with open_tab(browser, "report", size=size, scheme=scheme) as tab:
        tab.page.goto(Path(finished_run.evaluation.child("report").uri, "report.html").as_uri())
        tab.keep(f"{size}-{scheme}")
        yield tab


def open_all(page: Page, opened: bool = True) -> None:
    page.evaluate("opened => document.querySelectorAll('details').forEach(part => part.open = opened)", opened)


def test_nothing_goes_wrong_and_nothing_is_fetched(report: Tab) -> None:
    assert report.page.title() == "small" and report.page.locator("h1").is_visible()
    assert report.problems == []
    assert report.hosts == {"file"}


def test_every_figure_is_drawn_and_named(report: Tab) -> None:
    open_all(report.page)
    figures = report.page.locator("figure svg").all()
    assert len(figures) >= 8
    for figure in figures:
        name, box = figure.get_attribute("aria-label"), figure.bounding_box()
        assert name and box is not None and box["width"] > 300 and box["height"] > 40, name
        inside = figure.locator("path, use, image, text").evaluate_all(
            "shapes => shapes.filter(shape => shape.getBoundingClientRect().width).length"
        )
        assert inside > 3, f"{name} is empty"
    open_all(report.page, False)


def test_every_text_stands_out_from_what_lies_behind_it(report: Tab) -> None:
    open_all(report.page)
    found = report.contrasts()
    assert len(found) > 200
    assert [text for text in found if text["ratio"] < LEAST_CONTRAST] == []
    open_all(report.page, False)


def test_the_page_is_never_wider_than_its_window(report: Tab) -> None:
    """Wide tables scroll in a box of their own."""
    open_all(report.page)
    report.keep(f"{'phone' if _width(report.page) < 800 else 'wide'}-{_scheme(report.page)}-open")
    widths = "[document.documentElement.scrollWidth, document.body.scrollWidth]"
    assert max(report.page.evaluate(widths)) <= _width(report.page)
    open_all(report.page, False)


def test_sections_fold_and_unfold_by_mouse_and_by_key(report: Tab) -> None:
    part = report.page.locator("details", has=report.page.locator("summary h2", has_text="Search")).first
    summary, text = part.locator("summary").first, part.locator("p", has_text="configurations in").first
    assert summary.is_visible() and not text.is_visible()
    summary.click()
    assert text.is_visible()
    summary.press("Enter")
    assert not text.is_visible()


def test_numbers_keep_their_units(report: Tab) -> None:
    headline = report.page.locator(".score b").first.inner_text()
    assert re.match(r"[\d.]+\u00a0%", headline)


def _width(page: Page) -> int:
    return int(page.evaluate("window.innerWidth"))


def _scheme(page: Page) -> str:
    return "dark" if page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "light"
