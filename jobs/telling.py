"""What MLflow is told after each stage, from what lies in the workspace; `fersweep sync` tells all of it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from distributed.manifest import Manifest
from distributed.scored_videos import read_scored
from distributed.search import Record
from distributed.sweep import FoldSearch
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.figures import sweep_figures
from jobs.results import fold_records, results_folder
from jobs.tracked import TrackedSweep
from jobs.uncertainty import bounds
from tracking.sweep_figures import PAGE

_TITLES = {"report.html": "Report", "report-optimistic.html": "Optimistic report", PAGE: "Interactive figures"}


def tell(
    context: Context,
    manifest: Manifest,
    store: TokenStore,
    tracked: TrackedSweep,
    searches: Sequence[FoldSearch],
    probes: Sequence[Record],
) -> None:
    """The search, the figures and the descriptions, as far as there is something to show."""
    tracked.log_probes(probes)
    tracked.log_search(probes)
    files = sweep_figures(context, manifest, store, searches, probes)
    for fold, content in files.items():
        tracked.log_files(content, fold)
    folds = fold_records(context, manifest, store)
    results = results_folder(context, manifest, store)
    reports = results.child("report").names() if folds else []
    named = {name: title for name, title in _TITLES.items() if name in reports or name in files[None]}
    intervals = bounds(read_scored(results)) if folds else {}
    tracked.describe(replace(tracked.told, probes=probes, folds=folds, intervals=intervals, files=named))
