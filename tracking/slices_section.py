"""The report's section on parts of the videos: which actors, ages, sentences ... are recognised worse than others.

A slice is a plain mapping: column, value, num_videos, num_actors, num_classes, few (videos, so marked), scores
{score: share}, intervals {score: {"value", "low", "high"}} (empty for fewer than three actors), recall and
confusion. Slices of a column follow each other, the columns with the largest gap first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Any

from tracking import records as rec
from tracking.interval_figures import Dot, dots_with_intervals
from tracking.records import Record
from tracking.report_parts import Column, Section, Table

MOST_COLUMNS, MOST_VALUES = 5, 6  # of a figure that is still read at a glance
_SHOWN = ("uar", "war")
_MARK = "few videos"
_NO_INTERVAL = "fewer than 3 actors: no interval"


def slices_section(slices: Sequence[Record], overall: float) -> Section:
    """The gaps between slices as text, figure and tables; `overall` is the UAR of all videos together."""
    groups = [(column, list(group)) for column, group in groupby(slices, lambda one: str(one["column"]))]
    gaps = [row for column, group in groups if (row := _gap_row(column, group))]
    columns = [Column("column"), Column("lowest", "keep"), Column("UAR (%)", "n test")]
    columns += [Column("highest", "keep"), Column("UAR (%)", "n test"), Column("gap (points)", "n")]
    tables = [Table(columns, gaps)] if gaps else []
    tables += [_slice_table(column, group) for column, group in groups]
    dots = _largest_gaps(groups)
    figure = (
        partial(dots_with_intervals, "Test UAR of slices of the videos", dots, (overall, "all videos"))
        if dots
        else None
    )
    return Section("Who and what is recognised worse", _texts(groups, bool(dots)), figure, tables)


def _texts(groups: Sequence[tuple[str, list[Record]]], drawn: bool) -> list[str]:
    found = []
    others = [group for column, group in groups if column != "actor" and len(_counted(group)) > 1]
    if others:
        low, *_, high = _counted(others[0])
        found.append(f"Beside the actors themselves the largest gap is that of {_gap_text(low, high)}.")
    for column, group in groups:
        if column == "actor" and len(_counted(group)) > 1:
            low, *_, high = _counted(group)
            found.append(f"The actors run from {_value_text(low)} to {_value_text(high)}.")
    found.append(
        "A slice's UAR is the mean over the classes that it holds; slices with other classes do not compare. With "
        "many slices some stand apart by chance: take a gap as a place to look, not as proof."
    )
    if drawn:
        found.append("Dots are slices with their 95 % intervals over actors, the line is the UAR of all videos.")
    return found


def _gap_text(low: Record, high: Record) -> str:
    return f"{low['column']}: {_value_text(low)} to {_value_text(high)}"


def _value_text(one: Record) -> str:
    return f"{rec.percent(one['scores']['uar'])} % ({one['value']})"


def _counted(group: Sequence[Record]) -> list[Record]:
    """The slices that make a gap, the lowest UAR first.

    Those of few videos do not, nor those of fewer than three actors beside others of more.
    """
    sure = any(one["intervals"] for one in group)
    counted = [one for one in group if not one["few"] and (one["intervals"] or not sure)]
    return sorted(counted, key=lambda one: float(one["scores"]["uar"]))


def _gap_row(column: str, group: Sequence[Record]) -> list[str]:
    counted = _counted(group)
    if len(counted) < 2:
        return []
    low, high = counted[0], counted[-1]
    uars = [float(one["scores"]["uar"]) for one in (low, high)]
    values = [str(low["value"]), rec.percent(uars[0]), str(high["value"]), rec.percent(uars[1])]
    return [column, *values, rec.percent(uars[1] - uars[0])]


def _slice_table(column: str, group: Sequence[Record]) -> Table:
    with_intervals = any(one["intervals"] for one in group)
    columns = [Column(column, "keep"), Column("videos", "n"), Column("actors", "n"), Column("classes", "n")]
    for score in _SHOWN:
        columns.append(Column(f"{rec.SCORE_TITLES[score]} (%)", "n test"))
        columns += [Column("95 % interval", "n")] if with_intervals else []
    rows = []
    for one in group:
        cells = [str(one["value"]), *(str(one[f"num_{what}"]) for what in ("videos", "actors", "classes"))]
        for score in _SHOWN:
            cells.append(rec.percent(one["scores"][score]))
            cells += [rec.interval(bounds(one, score))] if with_intervals else []
        notes = [_MARK] if one["few"] else []
        notes += [_NO_INTERVAL] if with_intervals and not one["intervals"] else []
        rows.append([*cells, "; ".join(notes)])
    title = f"By {column}" + ("" if with_intervals else f" ({_NO_INTERVAL})")
    return Table([*columns, Column("note")], rows, title=title, folded=True)


def bounds(one: Record, score: str) -> rec.Bounds | None:
    """The interval of a slice's score, None where it has none."""
    found: Any = one["intervals"].get(score)
    return None if found is None else (found["value"], found["low"], found["high"])


def _largest_gaps(groups: Sequence[tuple[str, list[Record]]]) -> dict[str, list[Dot]]:
    """What the figure shows: of the first columns the slices with an interval, the extremes where there are many."""
    drawn: dict[str, list[Dot]] = {}
    for column, group in groups:
        known = _counted(group)
        if len(known) < 2 or not known[0]["intervals"]:
            continue
        half = MOST_VALUES // 2
        shown = known if len(known) <= MOST_VALUES else [*known[:half], *known[-half:]]
        left_out = len(known) - len(shown)
        title = column + (f" (lowest and highest {half} of {len(known)})" if left_out else "")
        drawn[title] = [_dot(one) for one in shown]
        if len(drawn) == MOST_COLUMNS:
            break
    return drawn


def _dot(one: Record) -> Dot:
    value, low, high = bounds(one, "uar") or (0.0, 0.0, 0.0)
    return Dot(str(one["value"]), value, low, high, f"{one['num_videos']:,} videos, {one['num_actors']} actors")
