"""How predictions are printed: as a table for people, as JSON or CSV for programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.table import Table

from distributed.predictor import WindowScores
from distributed.scoring import Probabilities


@dataclass(frozen=True)
class Row:
    """A video, or one of its windows with its times in seconds: probabilities float32[C], or why there are none."""

    video: str
    probabilities: Probabilities | None = None
    reason: str = ""
    start_s: float | None = None
    stop_s: float | None = None

    def predicted(self, names: Sequence[str]) -> str:
        return "" if self.probabilities is None else names[int(self.probabilities.argmax())]


class Output(Protocol):
    """Where rows go: `add` takes those of a video, `end` comes after the last one."""

    def add(self, rows: Sequence[Row]) -> None: ...

    def end(self) -> None: ...


def window_rows(video: str, scores: WindowScores) -> list[Row]:
    """A row for each window, and at the end one without times for the video: the mean of the windows."""
    times = zip(scores.starts.tolist(), scores.stops.tolist(), scores.probabilities, strict=True)
    rows = [Row(video, probabilities, "", start, stop) for start, stop, probabilities in times]
    return [*rows, Row(video, scores.probabilities.mean(axis=0, dtype=np.float64).astype(np.float32))]


class TableOutput:
    """One table of all rows; a failure has its reason at the end of its line."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._rows: list[Row] = []

    def add(self, rows: Sequence[Row]) -> None:
        self._rows += rows

    def end(self) -> None:
        timed = any(row.start_s is not None for row in self._rows)
        failed = any(row.reason for row in self._rows)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("video", *(["seconds"] if timed else []), "predicted"):
            table.add_column(column, no_wrap=True)
        for name in self._names:
            table.add_column(name, justify="right", no_wrap=True)
        if failed:
            table.add_column("reason", no_wrap=True)
        for row in self._rows:
            values = ["" if row.probabilities is None else f"{value:.3f}" for value in self._values(row)]
            answer = "failed" if row.reason else row.predicted(self._names)
            table.add_row(row.video, *([_times(row)] if timed else []), answer, *values, *([row.reason] * failed))
        # As wide as it needs, rather than cut at the terminal's edge: a row is a line, for grep too.
        Console(highlight=False, markup=False, width=10_000).print(table)

    def _values(self, row: Row) -> Sequence[float]:
        return [0.0] * len(self._names) if row.probabilities is None else row.probabilities.tolist()


def _times(row: Row) -> str:
    if row.reason:
        return ""
    return "mean" if row.start_s is None or row.stop_s is None else f"{row.start_s:.2f}–{row.stop_s:.2f}"


class CsvOutput:
    """A line a row, written as it comes."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        self._writer.writerow(["video", "start_s", "stop_s", "predicted", *(f"p_{name}" for name in names), "reason"])

    def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            values = [""] * len(self._names) if row.probabilities is None else row.probabilities.tolist()
            times = ["" if time is None else f"{time:.3f}" for time in (row.start_s, row.stop_s)]
            self._writer.writerow([row.video, *times, row.predicted(self._names), *values, row.reason])

    def end(self) -> None:
        sys.stdout.flush()


class JsonOutput:
    """One list with an object a video; its windows are a list in it."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._videos: list[dict[str, Any]] = []

    def add(self, rows: Sequence[Row]) -> None:
        *windows, whole = rows
        entry = {"video": whole.video, **self._entry(whole)}
        if windows:
            timed = [{"start_s": row.start_s, "stop_s": row.stop_s, **self._entry(row)} for row in windows]
            entry["windows"] = timed
        self._videos.append(entry)

    def _entry(self, row: Row) -> dict[str, Any]:
        if row.probabilities is None:
            return {"reason": row.reason}
        probabilities = dict(zip(self._names, row.probabilities.tolist(), strict=True))
        return {"predicted": row.predicted(self._names), "probabilities": probabilities}

    def end(self) -> None:
        sys.stdout.write(json.dumps(self._videos, indent=1, ensure_ascii=False) + "\n")


OUTPUTS: dict[str, Callable[[Sequence[str]], Output]] = {"table": TableOutput, "json": JsonOutput, "csv": CsvOutput}
