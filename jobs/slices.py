"""`fersweep slices`: test scores of parts of the videos."""

from __future__ import annotations

from typing import Any

from distributed.scored_videos import read_scored
from jobs.context import Context
from jobs.results import results_folder
from jobs.show import Format, show
from jobs.uncertainty import slice_records
from tracking.records import SCORES


def show_slices(context: Context, *, by: str | None, form: Format, confusion: bool) -> None:
    """Every slice of the finished evaluation in a row, by one column or by all that divide the videos.

    With `confusion` each also has the recall of every class and the counts of what was taken for what.

    Raises:
        UserError: no fold is evaluated, or `by` is no column of the video list.
    """
    manifest = context.manifest()
    scored = read_scored(results_folder(context, manifest, context.store(manifest)))
    records = slice_records(scored, manifest, by=by)
    rows = [_row(record, scored.label_names if confusion else ()) for record in records]
    show(context.console, rows, form)
    if form is Format.TABLE:
        _explain(context, records)


def _row(record: dict[str, Any], label_names: tuple[str, ...]) -> dict[str, Any]:
    row = {"column": record["column"], "value": record["value"]}
    row |= {what: record[f"num_{what}"] for what in ("videos", "actors", "classes")}
    row["few"] = "few" if record["few"] else ""
    for score in SCORES:
        bounds = record["intervals"].get(score, {})
        row |= {score: record["scores"][score], f"{score}_low": bounds.get("low"), f"{score}_high": bounds.get("high")}
    row |= {f"recall {name}": record["recall"][name] for name in label_names}
    for name, counts in zip(label_names, record["confusion"], strict=False):
        row |= {f"{name} as {other}": count for other, count in zip(label_names, counts, strict=True)}
    return row


def _explain(context: Context, records: list[dict[str, Any]]) -> None:
    context.say("low and high: 95 % interval over actors; – where there are fewer than 3 actors. Lowest UAR first.")
    if any(record["few"] for record in records):
        context.say("few: fewer than 20 videos; such a slice makes no gap.")
