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

PIPE_WIDTH = 1000  # characters, more than any table has

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


def show(console: Console, rows: Sequence[Row], form: Format, title: str = "", *, header: bool = True) -> None:
    """Write rows of equal keys; only a table has a title, only CSV goes on below a `header` that is there already."""
    if form is Format.JSON:
        _write(console, json.dumps(list(rows), indent=1, ensure_ascii=False))
    elif form is Format.CSV:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(rows)
        _write(console, text.getvalue().rstrip("\n"))
    elif rows:
        _table(console, rows, title)


def _write(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def _table(console: Console, rows: Sequence[Row], title: str) -> None:
    """Narrow terminals break cells at blanks; a pipe gets lines as long as they are."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=Text(title) if title else None, title_justify="left")
    for name, first in rows[0].items():
        table.add_column(Text(name), justify="left" if isinstance(first, str) else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    wide = console if console.is_terminal else Console(file=console.file, width=PIPE_WIDTH)
    wide.print(table, highlight=False)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
