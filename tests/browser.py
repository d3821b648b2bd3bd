"""A real browser for tests: the system's Chromium, headless, that reaches nothing but this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
SCREENSHOTS = Path(__file__).parent.parent / "build" / "screenshots"  # kept for people, not for git
SIZES = {"wide": (1280, 900), "phone": (390, 844), "desk": (1680, 1050)}  # CSS pixels
_QUIET = ("background-networking", "quic", "component-update", "sync", "gpu")
ARGUMENTS = ["--no-sandbox", "--no-first-run", *(f"--disable-{what}" for what in _QUIET)]
# The contrast of every text that is seen with what lies behind it, as WCAG 2 counts it; the worst first.
CONTRASTS = (Path(__file__).parent / "contrasts.js").read_text(encoding="utf-8")


@contextmanager
def start_browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed, so pages are NOT TESTED here: run `make system` as root")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Tab:
    """A page with what went wrong on it, and the hosts that it asked for anything."""

    page: Page
    name: str
    problems: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def listen(self) -> None:
        def on_console(message: ConsoleMessage) -> None:
            if message.type == "error":
                self.problems.append(message.text)

        def on_response(answer: Response) -> None:
            if answer.status >= 400:
                self.problems.append(f"HTTP {answer.status}: {answer.url}")

        def on_request(request: Request) -> None:
            address = urlsplit(request.url)
            if address.scheme not in ("blob", "data"):  # what the page holds itself
                self.hosts.add(address.hostname or address.scheme)

        self.page.on("console", on_console)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("response", on_response)
        self.page.on("request", on_request)

    def keep(self, what: str) -> None:
        """A picture of the whole page as build/screenshots/NAME-WHAT.png."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{self.name}-{what}.png", full_page=True)

    def contrasts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.page.evaluate(CONTRASTS)
        return found


@contextmanager
def open_tab(browser: Browser, name: str, *, size: str = "wide", scheme: Any = "light") -> Iterator[Tab]:
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    try:
        tab = Tab(context.new_page(), name)
        tab.listen()
        yield tab
    finally:
        context.close()
