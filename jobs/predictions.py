"""How predictions are printed: as a table for people, as JSON or CSV for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from distributed.predictor import WindowScores
from distributed.scoring import Probabilities
from jobs.show import Format, show


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


def window_rows(video: str, scores: WindowScores) -> list[Row]:
    """A row for each window, and at the end one without times for the video: the mean of the windows."""
    times = zip(scores.starts.tolist(), scores.stops.tolist(), scores.probabilities, strict=True)
    rows = [Row(video, probabilities, "", start, stop) for start, stop, probabilities in times]
    return [*rows, Row(video, scores.probabilities.mean(axis=0, dtype=np.float64).astype(np.float32))]


class Output:
    """Where rows go: `add` takes those of a video, `end` comes after the last one. CSV is written as it comes."""

    def __init__(self, names: Sequence[str], form: Format) -> None:
        self._names = names
        self._form = form
        self._console = Console(highlight=False, markup=False)
        self._videos: list[Sequence[Row]] = []

    def add(self, rows: Sequence[Row]) -> None:
        self._videos.append(rows)
        if self._form is Format.CSV:
            first = len(self._videos) == 1
            show(self._console, [self._cells(row) for row in rows], self._form, header=first)

    def end(self) -> None:
        if self._form is Format.JSON:
            show(self._console, [self._entry(rows) for rows in self._videos], self._form)
        elif self._form is Format.TABLE:
            rows = [row for video in self._videos for row in video]
            timed = any(row.start_s is not None for row in rows)
            failed = any(row.reason for row in rows)
            show(self._console, [self._line(row, timed, failed) for row in rows], self._form)

    def _probabilities(self, row: Row, prefix: str = "") -> dict[str, Any]:
        values = [""] * len(self._names) if row.probabilities is None else row.probabilities.tolist()
        return {f"{prefix}{name}": value for name, value in zip(self._names, values, strict=True)}

    def _line(self, row: Row, timed: bool, failed: bool) -> dict[str, Any]:
        """A line for people; a failure has its reason at the end."""
        return {
            "video": row.video,
            **({"seconds": _times(row)} if timed else {}),
            "predicted": "failed" if row.reason else row.predicted(self._names),
            **self._probabilities(row),
            **({"reason": row.reason} if failed else {}),
        }

    def _cells(self, row: Row) -> dict[str, Any]:
        times = {"start_s": row.start_s, "stop_s": row.stop_s}
        return {
            "video": row.video,
            **{name: "" if time is None else f"{time:.3f}" for name, time in times.items()},
            "predicted": row.predicted(self._names),
            **self._probabilities(row, "p_"),
            "reason": row.reason,
        }

    def _entry(self, rows: Sequence[Row]) -> dict[str, Any]:
        """An object a video; its windows are a list in it."""
        *windows, whole = rows
        entry = {"video": whole.video, **self._answer(whole)}
        timed = [{"start_s": row.start_s, "stop_s": row.stop_s, **self._answer(row)} for row in windows]
        return {**entry, "windows": timed} if timed else entry

    def _answer(self, row: Row) -> dict[str, Any]:
        if row.probabilities is None:
            return {"reason": row.reason}
        return {"predicted": row.predicted(self._names), "probabilities": self._probabilities(row)}


def _times(row: Row) -> str:
    if row.reason:
        return ""
    return "mean" if row.start_s is None or row.stop_s is None else f"{row.start_s:.2f}–{row.stop_s:.2f}"
