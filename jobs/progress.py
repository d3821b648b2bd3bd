"""Live progress: a bar on a terminal, plain lines now and then in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Report = Callable[[int, int, int], None]

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def progress(console: Console, what: str) -> Iterator[Report]:
    """A function to call with how many are done, how many there are, and how many of the done ones failed."""
    if console.is_terminal:
        with _bar(console, what) as report:
            yield report
    else:
        yield _Lines(console, what)


@contextmanager
def _bar(console: Console, what: str) -> Iterator[Report]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[failures]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=None, rate="", failures="")
        pace = _Pace()

        def report(done: int, total: int, failed: int) -> None:
            failures = f"{failed} failed" if failed else ""
            bar.update(task, completed=done, total=total, rate=pace.rate(done), failures=failures)

        yield report


class _Pace:
    """How many a second since the first report; what was done before that does not count."""

    def __init__(self) -> None:
        self._start: tuple[float, int] | None = None

    def rate(self, done: int) -> str:
        per_second = self.per_second(done)
        return f"{per_second:.1f}/s" if per_second else ""

    def per_second(self, done: int) -> float:
        now = time.monotonic()
        if self._start is None:
            self._start = (now, done)
        started, before = self._start
        return (done - before) / (now - started) if now > started else 0.0


class _Lines:
    def __init__(self, console: Console, what: str) -> None:
        self._console = console
        self._what = what
        self._pace = _Pace()
        self._last = float("-inf")
        self._told: tuple[int, int, int] | None = None

    def __call__(self, done: int, total: int, failed: int) -> None:
        now = time.monotonic()
        soon = now - self._last < _SECONDS_BETWEEN_LINES and done < total
        if soon or self._told == (done, total, failed):
            return
        self._last, self._told = now, (done, total, failed)
        per_second = self._pace.per_second(done)
        left = f", {(total - done) / per_second:.0f} s left" if per_second and done < total else ""
        rate = f", {per_second:.1f}/s" if per_second else ""
        self._console.print(f"{self._what}: {done}/{total}{rate}{left}, {failed} failed", soft_wrap=True)
