"""A page is opened where somebody sees it, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.desktop import has_desktop, show_page


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a browser that does nothing else writes its pages down."""
    browser, file = tmp_path / "browser", tmp_path / "shown"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {file}\n')
    browser.chmod(0o755)
    monkeypatch.setattr("webbrowser._tryorder", None)  # it reads BROWSER once
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    return file


@pytest.mark.parametrize("display", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_a_desktop_is_shown_the_page(shown: Path, monkeypatch: pytest.MonkeyPatch, display: str) -> None:
    monkeypatch.setenv(display, ":0")
    show_page("http://127.0.0.1:5000/#/experiments/1")
    assert shown.read_text() == "http://127.0.0.1:5000/#/experiments/1\n"


def test_a_machine_without_one_or_far_away_is_left_alone(shown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_desktop()
    monkeypatch.setenv("DISPLAY", "localhost:10.0")
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 22 192.0.2.2 22")
    assert not has_desktop()
    show_page("http://127.0.0.1:5000")
    assert not shown.exists()
