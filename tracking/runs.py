"""A sweep as MLflow runs: experiment, sweep run, below it a run a fold, below that a run a configuration.

One process writes. Each call finds what an earlier call or an earlier command has made by its key
("sweep:K/fold:0/trial:12"), so that repeating or resuming a command makes nothing twice.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Metric
from sqlalchemy.engine import URL

from tracking.figures import confusion_figure, to_png
from tracking.fold_metrics import fold_metrics, withdrawn
from tracking.records import Record
from tracking.run_store import PARENT, EndStatus, Run, RunStore, now

# Few curves on purpose: MLflow's pages slow down with many metrics.
CURVES = ("train_loss", "validation_loss", "validation_uar", "validation_war")


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
        self.experiment_id = self._store.experiment_id

    def sweep_run(
        self,
        key: str,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        text_artifacts: Mapping[str, str],
    ) -> str:
        """The run id of the sweep `key`. One that failed or was stopped runs again; a finished one stays so.

        `text_artifacts` (path -> text) are written beside it, the experiment file for instance.
        """
        run = self._open(key, _sweep_key(key), name, {"level": "sweep", **tags}, params)
        for path, text in text_artifacts.items():
            self._store.artifact(run, path, text.encode())
        return run.run_id

    def fold_run(self, sweep_key: str, fold: int, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """The run id of a fold below its sweep run, which must exist; ended ones as in `sweep_run`."""
        parent = self._known(sweep_key, _sweep_key(sweep_key))
        tags = {PARENT: parent.run_id, "level": "fold", "fold": str(fold), **tags}
        return self._open(sweep_key, _fold_key(sweep_key, fold), f"fold {fold}", tags, params).run_id

    def log_probe(self, sweep_key: str, record: Record) -> str:
        """The run of one configuration, complete with its end; a run that has ended is left alone.

        Its score is the last `validation_uar`. A pruned configuration ends as FINISHED with the tag
        state=pruned: it did what was asked of it, and MLflow shows KILLED as an error. A failed one ends as
        FAILED.
        """
        key = f"{_fold_key(sweep_key, record['fold'])}/trial:{record['trial']}"
        run = self._runs(sweep_key).get(key)
        if run is not None and run.ended:
            return run.run_id
        length = int(1000 * record["seconds"])
        if run is None:
            parent = self._known(sweep_key, _fold_key(sweep_key, record["fold"]))
            tags = {PARENT: parent.run_id, "level": "probe", **_probe_tags(record)}
            run = self._store.create(key, _probe_name(record), tags, now() - length)
            self._runs(sweep_key)[key] = run
        self._store.log(run, _probe_metrics(record, run.start, length), record["params"])
        status: EndStatus = "FAILED" if record["state"] == "failed" else "FINISHED"
        self._store.end(run, status, run.start + length)
        return run.run_id

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
        scores, moment = scores | gone, now()
        points = [Metric(name, value, moment, 0) for name, value in scores.items()]
        points += [
            Metric("refit_train_loss", epoch["train_loss"], moment, epoch["epoch"])
            for epoch in record["curves"]
            if epoch.get("train_loss") is not None
        ]
        winner = {f"winner.{name}": str(value) for name, value in record["params"].items()}
        winner |= {"winner.family": record["family"], "winner.trial": str(record["trial"])}
        figure = confusion_figure(record["confusion"], label_names)
        self._store.artifact(run, "confusion.png", to_png(figure))
        self._store.artifact(run, "evaluation.json", json.dumps(record, indent=1).encode())
        self._store.log(run, points, tags={"selection": record["selection"], **winner})
        self._store.end(run, "FINISHED", moment)

    def log_summary(self, sweep_key: str, summary: Mapping[str, float], artifacts: Mapping[str, str | bytes]) -> None:
        """Numbers over the folds (`records.summarize`) and files (path -> content) on the sweep run."""
        run = self._known(sweep_key, _sweep_key(sweep_key))
        moment = now()
        fresh = {name: value for name, value in summary.items() if run.metrics.get(name) != value}
        fresh |= withdrawn(run.metrics, summary) if summary else {}
        self._store.log(run, [Metric(name, value, moment, 0) for name, value in fresh.items()])
        for path, content in artifacts.items():
            self._store.artifact(run, path, content.encode() if isinstance(content, str) else content)

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
        if sweep_key not in self._sweeps:
            self._sweeps[sweep_key] = self._store.load(_sweep_key(sweep_key))
        return self._sweeps[sweep_key]

    def _known(self, sweep_key: str, key: str) -> Run:
        if key not in self._runs(sweep_key):
            raise ValueError(f"MLflow holds no run {key!r}: call sweep_run and fold_run before what lies below")
        return self._runs(sweep_key)[key]

    def _open(self, sweep_key: str, key: str, name: str, tags: Mapping[str, str], params: Mapping[str, Any]) -> Run:
        run = self._runs(sweep_key).get(key)
        if run is None:
            run = self._store.create(key, name, tags, now())
            self._runs(sweep_key)[key] = run
        elif run.status in ("FAILED", "KILLED"):
            self._store.reopen(run)
        self._store.log(run, params=params, tags=tags)
        return run


def _sweep_key(sweep_key: str) -> str:
    return f"sweep:{sweep_key}"


def _fold_key(sweep_key: str, fold: int) -> str:
    return f"{_sweep_key(sweep_key)}/fold:{fold}"


def _probe_name(record: Record) -> str:
    """attentive · f0 · 0.412"""
    parts = [] if record["score"] is None else [f"{record['score']:.3f}"]
    parts += [] if record["state"] == "complete" else [record["state"]]
    return f"{record['family']} · f{record['fold']} · {' '.join(parts) or 'no score'}"


def _probe_tags(record: Record) -> dict[str, str]:
    tags = {name: str(record[name]) for name in ("family", "fold", "trial", "pack", "state")}
    return {**tags, "reason": str(record["reason"])} if record["reason"] else tags


def _probe_metrics(record: Record, start: int, length: int) -> list[Metric]:
    """The curves with their epochs spread evenly over the run's time, the score, the size.

    Times count from the run's own start: logged again after a crash, a record gives the same points, and
    MLflow keeps equal points once.
    """
    points = []
    last = max(record["epoch"], 1)
    for epoch in record["curves"]:
        moment = start + length * epoch["epoch"] // last
        points += [Metric(n, epoch[n], moment, epoch["epoch"]) for n in CURVES if epoch.get(n) is not None]
    scored = any(p.key == "validation_uar" and p.step == record["epoch"] for p in points)
    if record["score"] is not None and not scored:
        points.append(Metric("validation_uar", record["score"], start + length, record["epoch"]))
    points.append(Metric("num_parameters", record["num_parameters"], start + length, 0))
    return points
