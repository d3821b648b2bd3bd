"""The probe on colours of a finished run: computed with the first report, read by the next one."""

from __future__ import annotations

from jobs.anchors import anchors_sections, colour_records
from jobs.report import fold_records
from tests.finished_run import FOLDS, FinishedRun, said


def test_a_finished_run_has_its_colours_and_reads_no_video_again(finished_run: FinishedRun) -> None:
    kept = finished_run.evaluation.child("anchors")
    (name,) = kept.names()
    context = finished_run.context
    records = colour_records(context, finished_run.manifest, finished_run.store)
    assert records == kept.read_json(name) and len(records) == FOLDS
    assert sum(record["num_test"] for record in records) == 24  # each video once, without the broken one
    assert all(record["num_lost"] == 0 for record in records)
    # Each class is one picture that moves: its mean colour tells it.
    assert all(record["scores"]["uar"] == 1.0 for record in records)
    assert said(context) == ""
    report = finished_run.evaluation.child("report").read_bytes("report.md").decode()
    assert "## Where the score stands" in report and "colours alone" in report


def test_the_probe_on_colours_can_be_switched_off(finished_run: FinishedRun) -> None:
    with finished_run.changed("anchors.mean_pixel=false") as context:
        store, manifest = finished_run.store, finished_run.manifest
        (section,) = anchors_sections(context, manifest, store, fold_records(context, manifest, store))
    assert sorted(row[0] for row in section.tables[0].rows) == ["always the most frequent class", "this run"]
