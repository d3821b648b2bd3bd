"""A sweep as MLflow runs: experiment, sweep run, below it a run a fold, below that a run a configuration.

One process writes. Each call finds what an earlier call or an earlier command has made by its key
("sweep:K/fold:0/trial:12"), so that repeating or resuming a command makes nothing twice.
"""

import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Metric
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from sqlalchemy.engine import URL

from tracking.figures import confusion_figure, to_png
from tracking.fold_metrics import fold_metrics, withdrawn
from tracking.lineage import DataSource
from tracking.probe_runs import probe_metrics, probe_name, probe_status, probe_tags, search_metrics
from tracking.records import Record
from tracking.run_store import PARENT, EndStatus, Run, RunStore, now

# What the runs of folds and configurations have from their sweep, so that they are found by it too.
INHERITED = ("dataset", "protocol", "encoder", "store", "code")
NOTE_HASH = "fersweep.note"  # of the description that we wrote: one that a person has changed since stays


def local_uris(workspace: Path) -> tuple[str, str]:
    """(tracking URI, artifact location) of a workspace on this machine; its folder is made where missing.

    Raises ValueError when the folder cannot be written: MLflow would try for minutes to open its database there.
    """
    workspace = workspace.expanduser().absolute()
    try:
        workspace.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"workspace {workspace}: {error.strerror}; name a folder that can be made") from error
    if not os.access(workspace, os.W_OK):
        raise ValueError(f"workspace {workspace}: it cannot be written; choose another or change its permissions")
    database = URL.create("sqlite", database=str(workspace / "mlflow.db"))  # quotes blanks, umlauts, %, ?
    return database.render_as_string(), (workspace / "mlartifacts").as_uri()


class MissingRunError(ValueError):
    """MLflow does not hold a run that another belongs to: it was never opened, or a person has deleted it."""


class Tracker:
    """The runs of one experiment's sweeps."""

    def __init__(self, tracking_uri: str, experiment_name: str, artifact_location: str | None = None) -> None:
        """Open the experiment, creating it (and a local database, in some seconds) where it is missing.

        `artifact_location` is used when the experiment is created: without one the server decides, and a
        local database is refused. Raises ValueError when the server does not answer or the experiment was
        deleted.
        """
        self._store = RunStore(tracking_uri, experiment_name, artifact_location)
        self._sweeps: dict[str, dict[str, Run]] = {}
        self._loading = threading.Lock()
        self.experiment_id = self._store.experiment_id

    def problem(self) -> str | None:
        """None while MLflow answers, otherwise what is wrong in words."""
        return self._store.problem()

    def forget(self) -> None:
        """Ask MLflow again which runs there are: what was sent last may have arrived or not."""
        self._sweeps.clear()

    def sweep_run(
        self,
        key: str,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        text_artifacts: Mapping[str, str],
        sources: Sequence[DataSource] = (),
    ) -> str:
        """The run id of the sweep `key`. One that failed or was stopped runs again; a finished one stays so.

        `text_artifacts` (path -> text) are written beside it, the experiment file for instance; `sources` are the
        data that it and its folds read.
        """
        run = self._open(key, _sweep_key(key), name, {"level": "sweep", **tags}, params, sources)
        for path, text in text_artifacts.items():
            self._store.artifact(run, path, text.encode())
        return run.run_id

    def fold_run(
        self,
        sweep_key: str,
        fold: int,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        sources: Sequence[DataSource] = (),
    ) -> str:
        """The run id of a fold below its sweep run, which must exist; ended ones as in `sweep_run`."""
        parent = self._known(sweep_key, _sweep_key(sweep_key))
        tags = {PARENT: parent.run_id, "level": "fold", "fold": str(fold), **_inherited(parent), **tags}
        return self._open(sweep_key, _fold_key(sweep_key, fold), f"fold {fold}", tags, params, sources).run_id

    def log_probe(self, sweep_key: str, record: Record) -> str:
        """The run of one configuration, complete with its end; a run that has ended is left alone.

        A complete one has the `score` that it is selected by. It ends as its tag `status` says: complete as FINISHED,
        pruned as KILLED, failed as FAILED, the latter two with their `reason`.
        """
        key = f"{_fold_key(sweep_key, record['fold'])}/trial:{record['trial']}"
        run = self._runs(sweep_key).get(key)
        if run is not None and run.ended:
            return run.run_id
        length = int(1000 * record["seconds"])
        if run is None:
            parent = self._known(sweep_key, _fold_key(sweep_key, record["fold"]))
            tags = {PARENT: parent.run_id, "level": "configuration", **_inherited(parent), **probe_tags(record)}
            run = self._store.create(key, probe_name(record), tags, now() - length)
            self._runs(sweep_key)[key] = run
        self._store.log(run, probe_metrics(record, run.start, length), record["params"])
        self._store.end(run, probe_status(record), run.start + length)
        return run.run_id

    def log_search(self, sweep_key: str, fold: int, records: Sequence[Record]) -> None:
        """What a fold's search has found so far, on the fold's run: the best score over its configurations, counts."""
        run = self._known(sweep_key, _fold_key(sweep_key, fold))
        points = search_metrics(records, run.start)
        latest = {point.key: point.value for point in points}
        if not latest.items() <= run.metrics.items():
            self._store.log(run, points)

    def log_evaluation(self, sweep_key: str, record: Record, label_names: Sequence[str]) -> None:
        """The test scores of a fold on its run, with its winner, its refit's curve and its confusion matrix.

        `label_names` in the order of the matrix; `validation_uar` is the inner score that chose the winner.
        The fold's run ends as FINISHED. The same scores again change nothing, others take their place. Raises
        ValueError when names, matrix and recalls do not fit together, or the record is no test result.
        """
        run = self._known(sweep_key, _fold_key(sweep_key, record["fold"]))
        scores = fold_metrics(record, label_names)
        gone = withdrawn(run.metrics, scores)
        if run.status == "FINISHED" and scores.items() <= run.metrics.items() and not gone:
            return
        moment = now()
        fresh = {name: value for name, value in (scores | gone).items() if run.metrics.get(name) != value}
        points = [Metric(name, value, moment, 0) for name, value in fresh.items()]
        losses = [epoch for epoch in record["curves"] if epoch.get("train_loss") is not None]
        if losses and run.metrics.get("refit_train_loss") != losses[-1]["train_loss"]:
            points += [Metric("refit_train_loss", one["train_loss"], moment, one["epoch"]) for one in losses]
        winner = {f"winner.{name}": str(value) for name, value in record["params"].items()}
        winner |= {"winner.family": record["family"], "winner.trial": str(record["trial"])}
        figure = confusion_figure(record["confusion"], label_names)
        self._store.artifact(run, "confusion.png", to_png(figure))
        self._store.artifact(run, "evaluation.json", json.dumps(record, indent=1).encode())
        self._store.log(run, points, tags={"protocol": record["selection"], "status": "evaluated", **winner})
        self._store.rename(run, f"fold {record['fold']} · {record['family']} · {record['scores']['uar']:.3f}")
        self._store.end(run, "FINISHED", moment)

    def log_summary(self, sweep_key: str, summary: Mapping[str, float], artifacts: Mapping[str, str | bytes]) -> None:
        """Numbers over the folds (`records.summarize`) and files (path -> content) on the sweep run."""
        run = self._known(sweep_key, _sweep_key(sweep_key))
        moment = now()
        fresh = {name: value for name, value in summary.items() if run.metrics.get(name) != value}
        fresh |= withdrawn(run.metrics, summary) if "num_folds" in summary else {}
        self._store.log(run, [Metric(name, value, moment, 0) for name, value in fresh.items()])
        if "test_uar_mean" in summary:
            name = run.name.partition(" · UAR ")[0]
            self._store.rename(run, f"{name} · UAR {100 * summary['test_uar_mean']:.1f} %")
            self._store.log(run, tags={"status": "evaluated"})
        self._write(run, artifacts)

    def log_files(self, sweep_key: str, fold: int | None, artifacts: Mapping[str, str | bytes]) -> None:
        """Files (path -> content) beside the sweep's run, or that of one of its folds."""
        self._write(self._of(sweep_key, fold), artifacts)

    def describe(self, sweep_key: str, fold: int | None, text: str) -> None:
        """The description (Markdown) of the sweep's run or of a fold's; one that a person has edited stays."""
        run = self._of(sweep_key, fold)
        if tags := _note(run.tags, text):
            self._store.log(run, tags=tags)

    def describe_experiment(self, text: str, tags: Mapping[str, str]) -> None:
        """The experiment's description, likewise, and further tags of it."""
        self._store.tag_experiment({**tags, **_note(self._store.experiment_tags, text)})

    def run_ids(self, sweep_key: str) -> dict[int | None, str]:
        """The id of the sweep's run (under None) and of the run of every fold."""
        runs = self._runs(sweep_key).values()
        return {int(run.tags["fold"]) if "fold" in run.tags else None: run.run_id for run in runs if _is_parent(run)}

    def sweep_runs(self) -> list[Run]:
        """The runs of all the experiment's sweeps, the newest first."""
        return list(self._store.search("tags.level = 'sweep'"))

    def log_stage(self, sweep_key: str, stage: str, measured: Mapping[str, float]) -> None:
        """What an earlier stage measured of itself, on the sweep run, each under the stage's name."""
        run = self._known(sweep_key, _sweep_key(sweep_key))
        fresh = {f"{stage}_{name}": value for name, value in measured.items()}
        moment = now()
        points = [Metric(name, value, moment, 0) for name, value in fresh.items() if run.metrics.get(name) != value]
        self._store.log(run, points)

    def finish(self, sweep_key: str, status: EndStatus = "FINISHED") -> None:
        """End every run of the sweep that still runs, the sweep's own last; ended folds keep their times."""
        runs = self._runs(sweep_key)
        sweep = self._known(sweep_key, _sweep_key(sweep_key))
        for run in runs.values():
            if not run.ended and run is not sweep:
                self._store.end(run, status, now())
        if sweep.status != status:
            self._store.end(sweep, status, now())

    def _runs(self, sweep_key: str) -> dict[str, Run]:
        """The sweep's runs by key, fetched once for all that follows."""
        with self._loading:
            if sweep_key not in self._sweeps:
                self._sweeps[sweep_key] = self._store.load(_sweep_key(sweep_key))
            return self._sweeps[sweep_key]

    def _of(self, sweep_key: str, fold: int | None) -> Run:
        return self._known(sweep_key, _sweep_key(sweep_key) if fold is None else _fold_key(sweep_key, fold))

    def _known(self, sweep_key: str, key: str) -> Run:
        if key not in self._runs(sweep_key):
            raise MissingRunError(f"MLflow holds no run {key!r}: call sweep_run and fold_run before what lies below")
        return self._runs(sweep_key)[key]

    def _open(
        self,
        sweep_key: str,
        key: str,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        sources: Sequence[DataSource],
    ) -> Run:
        run = self._runs(sweep_key).get(key)
        if run is None:
            run = self._store.create(key, name, tags, now())
            self._runs(sweep_key)[key] = run
        elif run.status in ("FAILED", "KILLED"):
            self._store.reopen(run)
        self._store.log(run, params=params, tags=tags)
        self._store.inputs(run, [source.to_input() for source in sources])
        return run

    def _write(self, run: Run, artifacts: Mapping[str, str | bytes]) -> None:
        for path, content in artifacts.items():
            self._store.artifact(run, path, content.encode() if isinstance(content, str) else content)


def _inherited(parent: Run) -> dict[str, str]:
    return {name: parent.tags[name] for name in INHERITED if name in parent.tags}


def _is_parent(run: Run) -> bool:
    return run.tags.get("level") in ("sweep", "fold")


def _note(tags: Mapping[str, str], text: str) -> dict[str, str]:
    """The tags of a description; none where the one that is there is not ours."""
    there = tags.get(MLFLOW_RUN_NOTE)
    if there is not None and _hash(there) != tags.get(NOTE_HASH):
        return {}
    return {MLFLOW_RUN_NOTE: text, NOTE_HASH: _hash(text)}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sweep_key(sweep_key: str) -> str:
    return f"sweep:{sweep_key}"


def _fold_key(sweep_key: str, fold: int) -> str:
    return f"{_sweep_key(sweep_key)}/fold:{fold}"
