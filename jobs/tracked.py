"""The MLflow runs of a sweep, opened for the length of a stage. Only the driver writes to MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from distributed.errors import UserError
from distributed.manifest import Manifest
from distributed.search import Record
from distributed.settings import settings_key
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.lineage import data_sources, dataset_name
from jobs.versions import code_version
from tracking.descriptions import Told, describe
from tracking.records import Bounds, summarize
from tracking.run_store import EndStatus
from tracking.runs import Tracker, local_uris
from tracking.writer import Job, Writer

# What tells exactly which encoder made the tokens; only a model folder has the last two.
_ENCODER_TAGS = ("sha256", "revision", "config_sha256")
_SECONDS_TO_END = 4.0


@dataclass(frozen=True)
class TrackedSweep:
    """A sweep's runs in MLflow; everything may be logged again without a second run. Nothing here waits."""

    writer: Writer
    key: str
    label_names: tuple[str, ...]
    told: Told
    _sent: set[tuple[int, int]] = field(default_factory=set)

    def log_probes(self, records: Sequence[Record]) -> None:
        for record in records:
            number = (record["fold"], record["trial"])
            if number not in self._sent:
                self._sent.add(number)
                self.writer.put(partial(Tracker.log_probe, sweep_key=self.key, record=record), together=True)

    def log_search(self, records: Sequence[Record]) -> None:
        """How the search of every fold went."""
        for fold in sorted({record["fold"] for record in records}):
            mine = [record for record in records if record["fold"] == fold]
            self.writer.put(partial(Tracker.log_search, sweep_key=self.key, fold=fold, records=mine))

    def log_evaluation(self, record: Record) -> None:
        self.writer.put(lambda tracker: tracker.log_evaluation(self.key, record, self.label_names))

    def log_summary(self, records: Sequence[Record], intervals: Mapping[str, Bounds]) -> None:
        self.log_metrics(summarize(records, intervals))

    def log_metrics(self, metrics: Mapping[str, float], files: Mapping[str, str | bytes] | None = None) -> None:
        """Numbers and files on the sweep's run."""
        self.writer.put(lambda tracker: tracker.log_summary(self.key, metrics, files or {}))

    def log_files(self, files: Mapping[str, str | bytes], fold: int | None = None) -> None:
        self.writer.put(lambda tracker: tracker.log_files(self.key, fold, files))

    def describe(self, told: Told) -> None:
        """What the pages of the experiment, the sweep and its folds say at their top."""
        self.writer.put(lambda tracker: describe(tracker, self.key, told))


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
    context: Context,
    manifest: Manifest,
    store: TokenStore,
    settings: dict[str, Any],
    *,
    end: EndStatus = "FINISHED",
    required: bool = False,
) -> Iterator[TrackedSweep]:
    """The sweep of these settings as MLflow runs, ended as `end` with the block.

    Once a workspace has been tracked, a server that is gone is a warning, unless it is `required`: its results are
    sent later.

    Raises:
        UserError: MLflow cannot be used, and never could with this workspace; `required`, and it did not take all.
    """
    writer, tracker = _connect(context, required)
    tracked = TrackedSweep(writer, settings_key(settings), manifest.label_names, _about(context, manifest, store))
    jobs = _opening_jobs(context, manifest, store, tracked.key)
    writer.open(tracker)
    for job in jobs:
        writer.put(job)
    status: EndStatus = "FAILED"
    at_most = None
    try:
        yield tracked
        status = end
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    except SystemExit:  # told to end, by somebody who does not wait
        status, at_most = "KILLED", _SECONDS_TO_END
        raise
    finally:
        writer.put(lambda tracker: tracker.finish(tracked.key, status))
        left = writer.close(at_most=at_most)
        if left and not required:
            context.say(f"warning: {_not_taken(left)}")
    if left and required:
        raise UserError(_not_taken(left))


def _not_taken(left: int) -> str:
    return (
        f"MLflow did not take {left} of the results; all of them are in the workspace, and `fersweep sync` with this "
        "experiment file sends them once it answers"
    )


def _connect(context: Context, required: bool) -> tuple[Writer, Tracker | None]:
    """What writes to MLflow, and its first connection if there is one."""
    workspace, name = context.workspace.storage, context.experiment.tracking.experiment or context.experiment.name
    note = f"mlflow-{context.experiment.name}.json"  # the server that has answered once
    known = workspace.read_json(note) if context.experiment.tracking.uri and workspace.exists(note) else None
    try:
        uri, artifacts = tracking_uris(context)
        place = {"uri": uri, "experiment": name}
        writer = Writer(lambda: Tracker(uri, name, artifacts), context.say)
        tracker = Tracker(uri, name, artifacts)
    except ValueError as error:
        if known is not None and known == place and not required:
            return writer, None
        raise UserError(f"tracking.uri: {error}") from error
    if context.experiment.tracking.uri and known != place:
        workspace.write_json(note, place)
    return writer, tracker


def _about(context: Context, manifest: Manifest, store: TokenStore) -> Told:
    header, table = store.header, manifest.table
    actors = len(set(table["actor"].to_pylist()))
    about = (
        f"**{dataset_name(manifest)}**: {len(table)} videos of {actors} actors, {len(manifest.label_names)} classes; "
        f"encoder **{header.encoder['name']}**, tokens pooled by `{header.pool}`"
    )
    return Told(about, context.experiment.evaluate.selection, len(manifest.label_names))


def embedding_measures(context: Context) -> dict[str, float]:
    """What the newest embedding measured: seconds, frames, clips, bytes, and the share in which encoders waited."""
    stage = context.workspace.stages().get("embed", {})
    found: dict[str, float] = dict(stage.get("measured", {}))
    time = found.pop("waited_s", 0.0), found.pop("worked_s", 0.0)
    if sum(time):
        found |= {"seconds": stage["seconds"], "wait_share": time[0] / sum(time)}
    return found


def _opening_jobs(context: Context, manifest: Manifest, store: TokenStore, key: str) -> list[Job]:
    """The sweep's run and those of its folds."""
    experiment, header = context.experiment, store.header
    sources = data_sources(context, manifest, store)
    failures = "".join(f"{f.video_id}\t{f.stage}\t{f.reason}\n" for f in store.failures())
    texts = {"experiment.yaml": experiment.to_yaml(), "failures.tsv": f"video_id\tstage\treason\n{failures}"}
    params = {
        "dataset": dataset_name(manifest),
        "videos": header.num_videos,
        "encoder": header.encoder["name"],
        "pool": header.pool,
        "views": len(header.views),
        "epochs": experiment.training.epochs,
        "configurations": experiment.search.configurations,
        "seed": experiment.seed,
    }
    tags = {
        "dataset": dataset_name(manifest),
        "protocol": experiment.evaluate.selection,
        "encoder": header.encoder["name"],
        **{f"encoder.{key}": header.encoder[key] for key in _ENCODER_TAGS if key in header.encoder},
        "code": code_version(),
        "manifest": manifest.content_hash,
        "store": context.tokens_key(header),
        "store.uri": store.storage.uri,
    }
    name = f"{experiment.name} · {experiment.evaluate.selection} · {key}"
    jobs: list[Job] = [lambda tracker: tracker.sweep_run(key, name, params, tags, texts, sources)]
    measures = embedding_measures(context)
    jobs.append(lambda tracker: tracker.log_stage(key, "embed", measures))
    for fold in context.labelled(manifest, store)[1]:
        sizes = {f"{part}_videos": len(rows) for part, rows in fold.parts.items()}
        jobs.append(partial(Tracker.fold_run, sweep_key=key, fold=fold.index, params=sizes, tags={}, sources=sources))
    return jobs
