"""`fersweep slices` of a finished run."""

from __future__ import annotations

import csv
import io
import json

import pytest

from distributed.errors import UserError
from distributed.scored_videos import read_scored
from jobs.show import Format
from jobs.slices import show_slices
from jobs.uncertainty import slice_records
from tests.finished_run import FinishedRun, listen, said


def shown(finished: FinishedRun, form: Format, *, by: str | None = None, confusion: bool = False) -> str:
    context = finished.context
    show_slices(context, by=by, form=form, confusion=confusion)
    return said(context)


def test_json_and_csv_hold_every_slice_with_its_numbers(finished_run: FinishedRun) -> None:
    records = slice_records(read_scored(finished_run.evaluation), finished_run.manifest, by="label_name")
    found = json.loads(shown(finished_run, Format.JSON, by="label_name", confusion=True))
    assert [row["uar"] for row in found] == [record["scores"]["uar"] for record in records]
    for row, record in zip(found, records, strict=True):
        assert (row["value"], row["videos"], row["actors"], row["classes"]) == (record["value"], 12, 6, 1)
        assert (row["uar_low"], row["uar_high"]) == (
            record["intervals"]["uar"]["low"],
            record["intervals"]["uar"]["high"],
        )
        assert row[f"recall {row['value']}"] == row["uar"] == row[f"{row['value']} as {row['value']}"] / 12
    lines = list(csv.DictReader(io.StringIO(shown(finished_run, Format.CSV))))
    assert sorted(line["value"] for line in lines) == [f"p{actor}" for actor in range(6)]
    assert {line["uar_low"] for line in lines} == {""} and "recall happy" not in lines[0]


def test_the_table_has_percentages_and_says_what_stands_in_it(finished_run: FinishedRun) -> None:
    text = shown(finished_run, Format.TABLE)
    assert text.count("few videos") == 6 and "interval over actors" in text
    assert "true \\ predicted" not in text
    with_counts = shown(finished_run, Format.TABLE, by="actor", confusion=True)
    assert with_counts.count("true \\ predicted") == 6 and "actor p3\n" in with_counts.replace(" \n", "\n").replace(
        "  ", ""
    )


def test_a_column_that_is_not_there_and_scores_that_are_not_there(finished_run: FinishedRun) -> None:
    with pytest.raises(UserError, match="--by: .*'sex'; the video list has the columns dataset, label"):
        shown(finished_run, Format.TABLE, by="sex")
    other = listen(finished_run.experiment, "training.epochs=9")
    with pytest.raises(UserError, match="no fold is evaluated there; run `fersweep evaluate` first"):
        show_slices(other, by=None, form=Format.TABLE, confusion=False)
