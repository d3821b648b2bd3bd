"""Progress as lines in a pipe and as a bar on a terminal."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from jobs.progress import progress


class Clock:
    """A clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("jobs.progress.time", SimpleNamespace(monotonic=lambda: self.now))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def piped(clock: Clock, reports: list[tuple[float, int, int, int]]) -> list[str]:
    """The lines that come of (seconds since the start, done, total, failed)."""
    file = io.StringIO()
    with progress(Console(file=file, width=40), "embed") as report:
        for seconds, *counts in reports:
            clock.now = 1000 + seconds
            report(*counts)
    return file.getvalue().splitlines()


def test_a_pipe_gets_lines_with_counts_rate_time_left_and_failures(clock: Clock) -> None:
    lines = piped(clock, [(0, 0, 1440, 0), (10, 20, 1440, 0), (70, 140, 1440, 3), (720, 1440, 1440, 14)])
    assert lines == [
        "embed: 0/1440, 0 failed",
        "embed: 20/1440, 2.0/s, 710 s left, 0 failed",
        "embed: 140/1440, 2.0/s, 650 s left, 3 failed",
        "embed: 1440/1440, 2.0/s, 14 failed",
    ]


def test_lines_come_now_and_then_and_the_last_one_always_but_once(clock: Clock) -> None:
    reports = [(i * 0.5, i, 30, 0) for i in range(31)]
    lines = piped(clock, [*reports, (15.1, 30, 30, 0), (15.2, 30, 30, 0)])
    assert [line.split(",")[0] for line in lines] == [f"embed: {n}/30" for n in (0, 10, 20, 30)]


def test_what_was_done_before_does_not_count_as_fast_work(clock: Clock) -> None:
    """A run that goes on at 1000 of 2000 and makes 10 in 10 seconds needs 990 seconds more, not 10."""
    lines = piped(clock, [(0, 1000, 2000, 5), (10, 1010, 2000, 5)])
    assert lines == ["embed: 1000/2000, 5 failed", "embed: 1010/2000, 1.0/s, 990 s left, 5 failed"]


def test_nothing_at_all_to_do_is_said_without_a_rate(clock: Clock) -> None:
    assert piped(clock, [(0, 7, 7, 0)]) == ["embed: 7/7, 0 failed"]
    assert piped(clock, [(0, 0, 0, 0)]) == ["embed: 0/0, 0 failed"]


def test_a_terminal_gets_a_bar_with_the_same_numbers(clock: Clock) -> None:
    file = io.StringIO()
    with progress(Console(file=file, force_terminal=True, width=120), "embed") as report:
        report(0, 50, 0)
        clock.now += 5
        report(20, 50, 2)
    screen = file.getvalue()
    assert "\x1b[" in screen and "━" in screen
    assert "embed" in screen and "20/50" in screen and "4.0/s" in screen and "2 failed" in screen


def test_a_bar_shows_no_failures_where_there_are_none(clock: Clock) -> None:
    file = io.StringIO()
    with progress(Console(file=file, force_terminal=True, width=120), "sweep") as report:
        report(20, 20, 0)
    assert "20/20" in file.getvalue() and "failed" not in file.getvalue()


def test_a_bar_is_closed_when_the_work_breaks_off() -> None:
    """Else the cursor stays hidden and the message is written over the bar."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80)
    with pytest.raises(KeyboardInterrupt), progress(console, "embed") as report:
        report(1, 2, 0)
        raise KeyboardInterrupt
    assert file.getvalue().rstrip("\n").endswith("\x1b[?25h")
