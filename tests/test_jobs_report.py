"""The report's stage: what of a finished run the report is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from distributed.duplicates import SameVideos
from jobs.report import fold_records, report, report_data
from jobs.versions import VERSION
from tests.finished_run import BROKEN, CONFIGURATIONS, FOLDS, FinishedRun, said, state_of


def test_the_report_holds_the_scores_the_failures_and_what_made_them(finished_run: FinishedRun) -> None:
    text = finished_run.evaluation.child("report").read_bytes("report.md").decode()
    plain = text.replace("\\", "")
    records = fold_records(finished_run.context, finished_run.manifest, finished_run.store)
    for record in records:
        assert f"{100 * record['scores']['uar']:.1f}" in plain
    assert BROKEN in plain and "the file is empty" in plain
    assert "25 videos, 6 actors, 2 classes" in plain
    for known in (finished_run.manifest.content_hash, finished_run.store.header.encoder["sha256"], VERSION):
        assert known in plain
    assert "configurations: 10" in plain  # the experiment file
    assert "not how well" in plain or "nothing about how well" in plain  # the tiny encoder's caution


def test_the_page_is_one_file_that_needs_nothing_else(finished_run: FinishedRun) -> None:
    page = finished_run.evaluation.child("report").read_bytes("report.html").decode()
    assert page.startswith("<!doctype html>") and "<svg" in page
    assert not re.search(r"""(?:src|href)=["']https?://""", page) and "<script" not in page


def test_the_report_is_told_of_every_stage_and_configuration(finished_run: FinishedRun) -> None:
    data = report_data(finished_run.context, finished_run.manifest, finished_run.store)
    assert (data.title, data.protocol, data.dataset) == ("small", "nested", "csv")
    assert len(data.fold_records) == FOLDS and len(data.probe_records) == FOLDS * CONFIGURATIONS
    assert list(data.stage_seconds)[:4] == ["index", "embed", "sweep", "evaluate"]
    assert all(seconds > 0 for seconds in data.stage_seconds.values())
    assert data.stage_seconds["embed"] > 0.1
    assert re.fullmatch(r"\d+ frames, 48 clips; encoders waited \d+% of it", data.stage_notes["embed"])
    assert [failure[0] for failure in data.failures] == [BROKEN]


def test_a_damaged_page_is_written_again_and_a_good_one_is_left_alone(finished_run: FinishedRun) -> None:
    folder = Path(finished_run.evaluation.child("report").uri)
    before = state_of(folder)
    page = folder / "report.html"
    page.write_text("half a pa")
    with finished_run.changed() as context:
        report(context, finished_run.manifest, finished_run.store)
    after = state_of(folder)
    assert after[page][1] == before[page][1]
    assert after[folder / "report.md"] == before[folder / "report.md"]
    assert said(context).strip() == f"report: {page}"


def test_videos_that_leak_are_a_caution_above_all_scores(
    finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    leak = SameVideos(("p0/happy-0", "p1/happy-1"), ("p0", "p1"), ("happy", "happy"))
    copy = SameVideos(("p2/sad-0", "p2/sad-1"), ("p2", "p2"), ("sad", "sad"))
    monkeypatch.setattr("jobs.details.known_duplicates", lambda *_: [leak, copy])
    notes = report_data(finished_run.context, finished_run.manifest, finished_run.store).notes
    assert notes[1:] == [
        "The same video is there under the names of different actors, so test scores may be too high: "
        "p0/happy-0 (actor p0, happy) = p1/happy-1 (actor p1, happy)"
    ]
    monkeypatch.setattr("jobs.details.known_duplicates", lambda *_: [copy])
    assert len(report_data(finished_run.context, finished_run.manifest, finished_run.store).notes) == 1
