"""The report's further sections: none where nothing further was evaluated, each from its own files."""

from __future__ import annotations

from jobs.details import further_sections
from jobs.full_video import full_video_folder
from jobs.results import fold_records
from tests.finished_run import FinishedRun
from tests.test_tracking_full_video_section import RECORDS
from tests.test_tracking_transfer_section import FOUND


def test_sections_follow_from_what_lies_beside_the_scores(finished_run: FinishedRun) -> None:
    manifest, store = finished_run.manifest, finished_run.store
    records = fold_records(finished_run.context, manifest, store)
    assert further_sections(finished_run.context, manifest, store, records) == []
    with finished_run.changed("full_video.stride=77") as context:
        folder = full_video_folder(context, manifest, store)
        folder.write_json("full-video.json", {"stride": 77, "folds": RECORDS})
        other = finished_run.evaluation.child("transfer")
        other.write_json("crema-d-abc.json", FOUND)
        titles = [section.title for section in further_sections(context, manifest, store, records)]
        other.delete("crema-d-abc.json")
        folder.delete("full-video.json")
    assert titles == ["Full videos, window by window", "On another dataset: crema d!"]
