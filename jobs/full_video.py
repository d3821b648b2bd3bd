"""`fersweep evaluate --full-video`: every window of every test video, scored by its fold's winner."""

from __future__ import annotations

from typing import Any

from distributed.cluster import ray_session
from distributed.face_boxes import crops_of
from distributed.full_video import FullVideoEvaluation, evaluate_full_video, videos_of_folds
from distributed.manifest import Manifest
from distributed.search import Record
from distributed.storage import Storage
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.progress import progress
from jobs.results import evaluation_settings, results_folder, sweep_key_settings
from jobs.tracked import tracked_sweep
from tracking.full_video_section import full_video_metrics, full_video_summary

RECORDS = "full-video.json"


def full_video(context: Context, manifest: Manifest, store: TokenStore) -> list[Record]:
    """The records of all folds, written to `full-video.json` beside the folds' scores."""
    evaluation = _evaluation(context, manifest, store)
    evaluation.winners()  # missing ones are found before anything is written
    sweep_settings = sweep_key_settings(context, manifest, store)
    settings = {
        **evaluation_settings(context, manifest, store),
        "full_video": context.experiment.full_video.model_dump(mode="json"),
    }
    with (
        context.workspace.stage("full video", settings, done=evaluation.folder.exists(RECORDS)),
        ray_session(context.experiment.cluster),
        progress(context.console, "full video") as report,
    ):
        records = evaluate_full_video(evaluation, report)
    evaluation.folder.write_json(RECORDS, {"stride": evaluation.stride, "folds": records})
    with tracked_sweep(context, manifest, store, sweep_settings) as tracked:
        tracked.log_metrics(full_video_metrics(records))
    for line in full_video_summary(records):
        context.say(line)
    for video_id, reason in (failure for record in records for failure in record["failed"]):
        context.say(f"  failed: {video_id}: {reason}")
    return records


def full_video_folder(context: Context, manifest: Manifest, store: TokenStore) -> Storage:
    stride = context.experiment.full_video.stride
    return results_folder(context, manifest, store).child(f"full-video-stride-{stride}")


def full_video_records(context: Context, manifest: Manifest, store: TokenStore) -> dict[str, Any] | None:
    """What an evaluation with this stride has left, or nothing."""
    folder = full_video_folder(context, manifest, store)
    return dict(folder.read_json(RECORDS)) if folder.exists(RECORDS) else None


def _evaluation(context: Context, manifest: Manifest, store: TokenStore) -> FullVideoEvaluation:
    tokens, folds = context.labelled(manifest, store)
    paths = dict(zip(manifest.table["video_id"].to_pylist(), manifest.table["path"].to_pylist(), strict=True))
    return FullVideoEvaluation(
        videos=videos_of_folds(tokens, folds, paths),
        label_names=manifest.label_names,
        header=store.header,
        settings=context.experiment.embedding_settings,
        stride=context.experiment.full_video.stride,
        results=results_folder(context, manifest, store),
        folder=full_video_folder(context, manifest, store),
        crops=crops_of(manifest, context.experiment.views),
    )
