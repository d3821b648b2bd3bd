"""The MLflow runs of a sweep, opened for the length of a stage. Only the driver writes to MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from distributed.errors import UserError
from distributed.manifest import Manifest
from distributed.search import Record
from distributed.settings import settings_key
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.versions import code_version
from tracking.records import Bounds, summarize
from tracking.runs import Tracker, local_uris


@dataclass(frozen=True)
class TrackedSweep:
    """A sweep's runs in MLflow; everything may be logged again without a second run."""

    tracker: Tracker
    key: str
    label_names: tuple[str, ...]

    def log_probes(self, records: Sequence[Record]) -> None:
        for record in records:
            self.tracker.log_probe(self.key, record)

    def log_evaluation(self, record: Record) -> None:
        self.tracker.log_evaluation(self.key, record, self.label_names)

    def log_summary(self, records: Sequence[Record], intervals: Mapping[str, Bounds]) -> None:
        self.tracker.log_summary(self.key, summarize(records, intervals), {})

    def log_files(self, files: dict[str, str | bytes]) -> None:
        self.tracker.log_summary(self.key, {}, files)


def tracking_uris(context: Context) -> tuple[str, str | None]:
    """MLflow's address and, for a database in the workspace, where its artifacts go.

    Raises:
        UserError: the workspace is not on this machine's disk and no server is named.
    """
    if context.experiment.tracking.uri:
        return context.experiment.tracking.uri, None
    folder = context.workspace.storage.local_path
    if folder is None:
        raise UserError(
            f"tracking.uri: missing; the workspace {context.workspace.storage.uri} cannot hold MLflow's "
            "database, so name an MLflow server"
        )
    return local_uris(folder)


@contextmanager
def tracked_sweep(
    context: Context, manifest: Manifest, store: TokenStore, settings: dict[str, Any]
) -> Iterator[TrackedSweep]:
    """The sweep of these settings as MLflow runs, ended with the block."""
    experiment = context.experiment
    try:
        uri, artifacts = tracking_uris(context)
        tracker = Tracker(uri, experiment.tracking.experiment or experiment.name, artifacts)
    except ValueError as error:
        raise UserError(f"tracking.uri: {error}") from error
    key = settings_key(settings)
    tracked = TrackedSweep(tracker, key, manifest.label_names)
    _open_runs(context, manifest, store, tracked)
    status = "FAILED"
    try:
        yield tracked
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        tracker.finish(key, status)  # type: ignore[arg-type]


def embedding_measures(context: Context) -> dict[str, float]:
    """What the newest embedding measured: seconds, frames, clips, bytes, and the share in which encoders waited."""
    stage = context.workspace.stages().get("embed", {})
    found: dict[str, float] = dict(stage.get("measured", {}))
    time = found.pop("waited_s", 0.0), found.pop("worked_s", 0.0)
    if sum(time):
        found |= {"seconds": stage["seconds"], "wait_share": time[0] / sum(time)}
    return found


def _open_runs(context: Context, manifest: Manifest, store: TokenStore, tracked: TrackedSweep) -> None:
    experiment, header = context.experiment, store.header
    failures = "".join(f"{f.video_id}\t{f.stage}\t{f.reason}\n" for f in store.failures())
    tracked.tracker.sweep_run(
        tracked.key,
        f"{experiment.name} · {experiment.evaluate.selection} · {tracked.key}",
        params={
            "dataset": manifest.table["dataset"][0].as_py() if len(manifest.table) else "",
            "videos": header.num_videos,
            "encoder": header.encoder["name"],
            "pool": header.pool,
            "views": len(header.views),
            "epochs": experiment.training.epochs,
            "configurations": experiment.search.configurations,
            "seed": experiment.seed,
        },
        tags={
            "selection": experiment.evaluate.selection,
            "code": code_version(),
            "encoder.sha256": header.encoder["sha256"],
            "manifest": manifest.content_hash,
            "store": store.storage.uri,
        },
        text_artifacts={
            "experiment.yaml": experiment.to_yaml(),
            "failures.tsv": f"video_id\tstage\treason\n{failures}",
        },
    )
    tracked.tracker.log_stage(tracked.key, "embed", embedding_measures(context))
    _, folds = context.labelled(manifest, store)
    for fold in folds:
        sizes = {f"{part}_videos": len(rows) for part, rows in fold.parts.items()}
        tracked.tracker.fold_run(tracked.key, fold.index, params=sizes, tags={})
