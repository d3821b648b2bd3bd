"""Rows for people and for programs: nothing is cut off, and nothing read back differs."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from rich.console import Console

from jobs.show import Format, ScoreName, show
from tracking.records import SCORES

ROWS: list[dict[str, Any]] = [
    {"value": "a, [b] " + "long " * 40, "score": 0.123456, "few": False, "low": None},
    {"value": "ü", "score": 1.0, "few": True, "low": 0.5},
]


def shown(form: Format, *, terminal: bool = False, title: str = "") -> str:
    console = Console(file=io.StringIO(), width=60, force_terminal=terminal, color_system=None)
    show(console, ROWS, form, title)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_json_and_csv_read_back_as_they_were() -> None:
    assert json.loads(shown(Format.JSON)) == ROWS
    first, second = csv.DictReader(io.StringIO(shown(Format.CSV)))
    assert first == {"value": ROWS[0]["value"], "score": "0.123456", "few": "False", "low": ""}
    assert second["value"] == "ü"


def test_a_table_in_a_pipe_has_a_line_a_row() -> None:
    lines = [line.rstrip() for line in shown(Format.TABLE, title="A title").splitlines() if line.strip()]
    assert len(lines) == 1 + 1 + 1 + 2
    assert lines[0] == "A title"
    assert lines[1].split() == ["value", "score", "few", "low"]
    assert lines[3].strip().startswith("a, [b] long long") and "0.123" in lines[3] and lines[3].endswith("–")


def test_a_narrow_terminal_breaks_cells_and_loses_no_word() -> None:
    text = shown(Format.TABLE, terminal=True)
    assert max(map(len, text.splitlines())) <= 60
    assert text.count("long") == 40


def test_nothing_to_show_is_no_error_and_the_scores_are_those_of_the_records() -> None:
    console = Console(file=io.StringIO())
    for form in Format:
        show(console, [], form)
    assert tuple(ScoreName) == SCORES
