"""MLflow runs that are found again by a key: the client calls below tracking/runs.py.

Every run carries the tag `fersweep.key`, its place in the tree. A key that exists is not created again, so
that a command repeated or resumed makes no second runs. MLflow's client alone: no active run, no global URI.
"""

import json
import logging
import re
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mlflow import MlflowClient
from mlflow.entities import DatasetInput, Metric, Param, RunTag, ViewType
from mlflow.environment_variables import (
    MLFLOW_HTTP_REQUEST_MAX_RETRIES,
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT,
)
from mlflow.exceptions import MlflowException
from sqlalchemy.engine import make_url

from tracking.server import api_problem

KEY = "fersweep.key"
PARENT = "mlflow.parentRunId"
PARAM_LIMIT, TAG_LIMIT = 6000, 5000  # characters that every MLflow server keeps
PAGE = 1000  # runs a search answers at once

EndStatus = Literal["FINISHED", "FAILED", "KILLED"]

logger = logging.getLogger(__name__)


@dataclass
class Run:
    """What is known of a run that exists; `start` in milliseconds since 1970, `datasets` by their digests."""

    run_id: str
    start: int
    status: str = "RUNNING"
    name: str = ""
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    datasets: set[str] = field(default_factory=set)

    @property
    def ended(self) -> bool:
        """Whether it is over, well or badly."""
        return self.status in ("FINISHED", "FAILED", "KILLED")


class RunStore:
    """The keyed runs of one experiment."""

    def __init__(self, tracking_uri: str, experiment_name: str, artifact_location: str | None) -> None:
        """Open the experiment or create it, and with it a local database; ValueError where that cannot be."""
        if problem := _server_problem(tracking_uri):
            advice = "" if "; " in problem else "; start it or correct the URI"
            raise ValueError(f"the MLflow server at {tracking_uri} cannot be used: {problem}{advice}")
        if tracking_uri.startswith("sqlite:") and artifact_location is None:
            raise ValueError(f"{tracking_uri} is a local database: name the artifact_location beside it")
        database = make_url(tracking_uri).database if tracking_uri.startswith("sqlite:") else None
        fresh = database is not None and not Path(database).exists()
        self._uri = tracking_uri
        self._client = MlflowClient(tracking_uri=tracking_uri)
        if database is not None and fresh:
            _write_ahead(database)
        self._tags: dict[str, str] = {}
        try:
            with client_settings(retries=False):
                self.experiment_id = self._experiment(experiment_name, artifact_location)
        except MlflowException as error:
            raise ValueError(f"MLflow at {tracking_uri} cannot be used: {error}") from error

    def _experiment(self, name: str, artifact_location: str | None) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            kind = {"mlflow.experimentKind": "custom_model_development"}  # else the UI expects chat traces
            return str(self._client.create_experiment(name, artifact_location=artifact_location, tags=kind))
        if found.lifecycle_stage == "deleted":
            raise ValueError(
                f"the MLflow experiment {name!r} was deleted: choose another name, or restore it with "
                f"`mlflow experiments restore --experiment-id {found.experiment_id}`"
            )
        self._tags = dict(found.tags)
        return str(found.experiment_id)

    def problem(self) -> str | None:
        """None while MLflow answers, otherwise what is wrong in words."""
        return _server_problem(self._uri)

    def tag_experiment(self, tags: Mapping[str, str]) -> None:
        """Tags on the experiment itself; those that it has already are not sent again."""
        for name, value in tags.items():
            if self._tags.get(name) != _cut(value, TAG_LIMIT):
                self._client.set_experiment_tag(self.experiment_id, name, _cut(value, TAG_LIMIT))
                self._tags[name] = _cut(value, TAG_LIMIT)

    @property
    def experiment_tags(self) -> Mapping[str, str]:
        """The experiment's tags when it was opened, with what was set since."""
        return self._tags

    def load(self, key: str) -> dict[str, Run]:
        """The runs with this key and those below it, by their keys, in one paged search."""
        found = self.search(f"tags.`{KEY}` LIKE '{_plain_key(key)}%'")
        return {name: run for run in found if (name := run.tags[KEY]) == key or name.startswith(f"{key}/")}

    def search(self, filter_string: str) -> Iterator[Run]:
        """Every run that MLflow's filter lets through, the newest first."""
        token: str | None = ""
        while token is not None:
            page = self._client.search_runs(
                [self.experiment_id],
                filter_string=filter_string,
                run_view_type=ViewType.ACTIVE_ONLY,
                max_results=PAGE,
                page_token=token or None,
            )
            yield from map(_known_run, page)
            token = page.token or None

    def create(self, key: str, name: str, tags: Mapping[str, str], start: int) -> Run:
        """A new running run."""
        short = {KEY: _plain_key(key), **{tag: _cut(value, TAG_LIMIT) for tag, value in tags.items()}}
        made = self._client.create_run(self.experiment_id, start_time=start, tags=short, run_name=name)
        run = Run(made.info.run_id, start, name=name, tags=short)
        for tag, value in tags.items():
            self._keep_whole(run, "tag", tag, value, TAG_LIMIT)
        return run

    def log(
        self,
        run: Run,
        metrics: Sequence[Metric] = (),
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Metrics, parameters and tags in one call (MLflow splits more than it takes at once).

        A parameter that the run has already keeps its value, with a warning where the new one differs. Values
        over MLflow's limit are cut, and whole in the run's artifacts.
        """
        texts = {name: _text(value) for name, value in (params or {}).items()}
        fresh = {name: text for name, text in texts.items() if name not in run.params}
        changed = [name for name in texts if name not in fresh and run.params[name] != _short(texts[name])]
        if changed:
            logger.warning(
                "MLflow run %s keeps its first value of: %s",
                run.tags.get(KEY, run.run_id),
                ", ".join(changed),
            )
        new_tags = {n: value for n, value in (tags or {}).items() if run.tags.get(n) != _cut(value, TAG_LIMIT)}
        short_params = {name: _short(text) for name, text in fresh.items()}
        short_tags = {name: _cut(value, TAG_LIMIT) for name, value in new_tags.items()}
        self._client.log_batch(
            run.run_id,
            metrics=metrics,
            params=[Param(name, text) for name, text in short_params.items()],
            tags=[RunTag(name, value) for name, value in short_tags.items()],
        )
        for name, text in fresh.items():
            self._keep_whole(run, "parameter", name, text, PARAM_LIMIT)
        for name, value in new_tags.items():
            self._keep_whole(run, "tag", name, value, TAG_LIMIT)
        run.params.update(short_params)
        run.tags.update(short_tags)
        run.metrics.update({metric.key: metric.value for metric in metrics})

    def rename(self, run: Run, name: str) -> None:
        """Give the run another name."""
        if run.name != name:
            self._client.update_run(run.run_id, name=name)
            run.name = name

    def inputs(self, run: Run, datasets: Sequence[DatasetInput]) -> None:
        """Log the data sets that the run reads; one that it has already is not sent again."""
        fresh = [one for one in datasets if one.dataset.digest not in run.datasets]
        if fresh:
            self._client.log_inputs(run.run_id, datasets=fresh)
            run.datasets.update(one.dataset.digest for one in fresh)

    def artifact(self, run: Run, path: str, content: bytes) -> None:
        """Write a file (a path with slashes) beside the run; the same path again replaces it."""
        folder, _, name = path.rpartition("/")
        with tempfile.TemporaryDirectory() as temporary:
            local = Path(temporary, name)
            local.write_bytes(content)
            self._client.log_artifact(run.run_id, str(local), folder or None)

    def end(self, run: Run, status: EndStatus, moment: int) -> None:
        """End the run at this moment (milliseconds since 1970)."""
        with client_settings():
            self._client.set_terminated(run.run_id, status=status, end_time=moment)
        run.status = status

    def reopen(self, run: Run) -> None:
        """Let a run that failed or was stopped run again."""
        self._client.update_run(run.run_id, status="RUNNING")
        run.status = "RUNNING"

    def _keep_whole(self, run: Run, kind: str, name: str, value: str, limit: int) -> None:
        if len(value) > limit:
            path = f"long_values/{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}.txt"
            logger.warning(
                "the %s %s of MLflow run %s is cut at %d characters; whole: %s",
                kind,
                name,
                run.run_id,
                limit,
                path,
            )
            self.artifact(run, path, value.encode())


def _server_problem(tracking_uri: str) -> str | None:
    return api_problem(tracking_uri) if tracking_uri.startswith(("http://", "https://")) else None


def _known_run(found: Any) -> Run:
    info, data = found.info, found.data
    return Run(
        info.run_id,
        info.start_time,
        info.status,
        info.run_name or "",
        dict(data.params),
        dict(data.tags),
        dict(data.metrics),
        {one.dataset.digest for one in found.inputs.dataset_inputs} if found.inputs else set(),
    )


@contextmanager
def client_settings(*, retries: bool = True) -> Iterator[None]:
    """Keep MLflow from printing two links for every run that ends on a server.

    Without `retries` a request is sent once, so that one whose answer was lost makes no second run; a number that
    the user has set stays.
    """
    chosen = {MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT: "true"}
    if not retries and MLFLOW_HTTP_REQUEST_MAX_RETRIES.get_raw() is None:
        chosen[MLFLOW_HTTP_REQUEST_MAX_RETRIES] = "0"
    with mlflow_settings(chosen):
        yield


@contextmanager
def mlflow_settings(chosen: Mapping[Any, Any]) -> Iterator[None]:
    """Some of MLflow's environment variables with other values for the length of the block."""
    before = {variable: variable.get_raw() for variable in chosen}
    for variable, value in chosen.items():
        variable.set(value)
    try:
        yield
    finally:
        for variable, value in before.items():
            variable.unset() if value is None else variable.set(value)


def _write_ahead(database: str) -> None:
    """Give a new SQLite file a write-ahead log: writing takes half the time and blocks no reader."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def metric_name(text: str) -> str:
    """`text` with everything that MLflow takes in no metric name replaced by an underscore."""
    return re.sub(r"[^\w\-.: ]", "_", text)


def _plain_key(key: str) -> str:
    if not re.fullmatch(r"[\w.:/ -]+", key):  # no character that means something in MLflow's search
        raise ValueError(f"the run key {key!r} may hold letters, digits and . _ : / - alone")
    return key


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | list | tuple) else str(value)


def _short(text: str) -> str:
    return _cut(text, PARAM_LIMIT)


def _cut(text: str, limit: int) -> str:
    end = " … (cut)"
    return text if len(text) <= limit else text[: limit - len(end)] + end
