"""`fersweep slices`: test scores of parts of the videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distributed.scored_videos import read_scored
from jobs.context import Context
from jobs.results import results_folder
from jobs.show import Format, show
from jobs.uncertainty import slice_records
from tracking.records import SCORE_TITLES, SCORES, Record, interval, percent
from tracking.slices_section import bounds


def show_slices(context: Context, *, by: str | None, form: Format, confusion: bool) -> None:
    """Every slice of the finished evaluation in a row, by one column or by all that divide the videos.

    With `confusion` each also has the recall of every class and the counts of what was taken for what.

    Raises:
        UserError: no fold is evaluated, or `by` is no column of the video list.
    """
    manifest = context.manifest()
    scored = read_scored(results_folder(context, manifest, context.store(manifest)))
    records = slice_records(scored, manifest, by=by)
    if form is Format.TABLE:
        _tables(context, records, scored.label_names if confusion else ())
    else:
        show(context.console, [_row(record, scored.label_names if confusion else ()) for record in records], form)


def _row(record: Record, label_names: Sequence[str]) -> dict[str, Any]:
    """All that is known, a number a cell."""
    row = {**_what(record), "few": record["few"]}
    for score in SCORES:
        found = record["intervals"].get(score, {})
        row |= {score: record["scores"][score], f"{score}_low": found.get("low"), f"{score}_high": found.get("high")}
    row |= {f"recall {name}": record["recall"][name] for name in label_names}
    for name, counts in zip(label_names, record["confusion"], strict=False):
        row |= {f"{name} as {other}": count for other, count in zip(label_names, counts, strict=True)}
    return row


def _tables(context: Context, records: Sequence[Record], label_names: Sequence[str]) -> None:
    rows = []
    for record in records:
        scores = {f"{SCORE_TITLES[score]} (%)": _score(record, score) for score in ("uar", "war")}
        rows.append({**_what(record), **scores, "note": "few videos" if record["few"] else ""})
    show(context.console, rows, Format.TABLE)
    context.say(
        "In brackets the 95 % interval over actors, where there are at least three. The lowest UAR comes first."
    )
    for record in records if label_names else ():
        table = zip(label_names, record["confusion"], record["recall"].values(), strict=True)
        matrix = [
            {"true \\ predicted": name, **dict(zip(label_names, counts, strict=True)), "recall (%)": percent(recall)}
            for name, counts, recall in table
        ]
        show(context.console, matrix, Format.TABLE, f"{record['column']} {record['value']}")


def _what(record: Record) -> dict[str, Any]:
    numbers = {what: record[f"num_{what}"] for what in ("videos", "actors", "classes")}
    return {"column": record["column"], "value": record["value"], **numbers}


def _score(record: Record, score: str) -> str:
    found = bounds(record, score)
    return percent(record["scores"][score]) + (f" ({interval(found)})" if found else "")
