"""Rows of results on the command line: a table to read, JSON or CSV for other programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = Mapping[str, Any]


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class ScoreName(StrEnum):
    """Scores by their names in records."""

    UAR = "uar"
    WAR = "war"
    MACRO_F1 = "macro_f1"


def show(console: Console, rows: Sequence[Row], form: Format, *, nested: Sequence[str] = ()) -> None:
    """Write rows of equal keys; the values of `nested` keys stand in JSON alone, as they are no single cell."""
    if form is Format.JSON:
        _write(console, json.dumps(list(rows), indent=1, ensure_ascii=False))
        return
    flat = [{key: value for key, value in row.items() if key not in nested} for row in rows]
    if form is Format.CSV:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(flat[0]) if flat else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
        _write(console, text.getvalue().rstrip("\n"))
    elif flat:
        _table(console, flat)


def _write(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def _table(console: Console, rows: Sequence[Row]) -> None:
    """In a pipe as wide as it is: a program or a file has no edge to break lines at."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, first in rows[0].items():
        table.add_column(Text(name), justify="left" if isinstance(first, str) else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    width = None if console.is_terminal else max(console.width, console.measure(table).maximum, 400)
    console.print(table, width=width, soft_wrap=width is not None, highlight=False)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
