"""`fersweep evaluate --full-video` on a finished run: results beside the scores, and nothing is scored twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distributed.errors import UserError
from jobs.full_video import RECORDS, full_video, full_video_folder, full_video_records
from jobs.report import report_data
from tests.finished_run import FOLDS, FinishedRun, listen, mlflow_runs, said, state_of

STRIDE = "full_video.stride=3"


def test_what_is_finished_is_kept_and_the_report_and_mlflow_hear_of_it(finished_run: FinishedRun) -> None:
    manifest, store = finished_run.manifest, finished_run.store
    with finished_run.changed(STRIDE) as context:
        records = full_video(context, manifest, store)
        folder = full_video_folder(context, manifest, store)
        assert folder.uri.startswith(finished_run.evaluation.uri)
        assert full_video_records(context, manifest, store) == {"stride": 3, "folds": json.loads(json.dumps(records))}
        data = report_data(context, manifest, store)
    assert data.stage_seconds["full video"] > 0.1
    titles = [section.title for section in data.details]
    assert "Full videos, window by window" in titles
    assert [record["num_test"] for record in records] == [12] * FOLDS
    before = state_of(Path(folder.uri))
    assert len(before) == 6 + 1
    (lost,) = [file for file in before if file.name == "part-000003.parquet"]
    lost.unlink()
    with finished_run.changed(STRIDE) as again:
        assert full_video(again, manifest, store) == records
    after = state_of(Path(folder.uri))
    changed = {file.name for file in after if after[file][0] != before[file][0]}
    assert changed == {lost.name, RECORDS} and after[lost][1] == before[lost][1]
    assert "full video: 20/24, 0 failed" in said(again) and "24 windows of 24 videos" in said(again)
    metrics = mlflow_runs(finished_run.workspace)[finished_run.sweep_key].data.metrics
    assert metrics["full_video_uar_mean"] == pytest.approx(sum(record["scores"]["uar"] for record in records) / FOLDS)


def test_without_winners_there_is_nothing_to_score(finished_run: FinishedRun) -> None:
    context = listen(finished_run.experiment, "seed=5")
    with pytest.raises(UserError, match="fold 0 is not evaluated; run `fersweep evaluate` first"):
        full_video(context, finished_run.manifest, finished_run.store)
