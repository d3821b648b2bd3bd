"""`fersweep sync`: send MLflow what it misses of the results that lie in the workspace."""

from __future__ import annotations

from distributed.manifest import Manifest
from distributed.scored_videos import read_scored
from distributed.search import Record
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.full_video import full_video_records
from jobs.report import report_files
from jobs.results import fold_records, results_folder, sweep_key_settings
from jobs.sweep import fold_searches, found_records
from jobs.telling import tell
from jobs.tracked import TrackedSweep, tracked_sweep
from jobs.transfer import transfers
from jobs.uncertainty import bounds
from tracking.full_video_section import full_video_metrics
from tracking.run_store import EndStatus
from tracking.transfer_section import transfer_metrics


def sync(context: Context) -> None:
    """Everything again: runs are found by their keys, and what MLflow has is not sent twice.

    Raises:
        UserError: MLflow does not answer, or did not take everything.
    """
    manifest = context.manifest()
    store = context.store(manifest)
    nested = context.experiment.evaluate.selection == "nested"
    searches = fold_searches(context, manifest, store) if nested else []
    probes = found_records(searches)
    folds = fold_records(context, manifest, store)
    wanted = sum(search.search.configurations for search in searches)
    settings = sweep_key_settings(context, manifest, store)
    end: EndStatus = "FINISHED" if len(probes) == wanted else "KILLED"
    with tracked_sweep(context, manifest, store, settings, end=end, required=True) as tracked:
        tracked.log_probes(probes)
        if folds:
            _send_scores(context, manifest, store, tracked, folds)
        tell(context, manifest, store, tracked, searches, probes)
    context.say(f"sync: MLflow has {len(probes)} configurations and the scores of {len(folds)} folds")


def _send_scores(
    context: Context, manifest: Manifest, store: TokenStore, tracked: TrackedSweep, folds: list[Record]
) -> None:
    for record in folds:
        tracked.log_evaluation(record)
    results = results_folder(context, manifest, store)
    tracked.log_summary(folds, bounds(read_scored(results)))
    for target in transfers(context, manifest, store):
        tracked.log_metrics(transfer_metrics(target))
    if full := full_video_records(context, manifest, store):
        tracked.log_metrics(full_video_metrics(full["folds"]))
    tracked.log_files(report_files(results.child("report")))
