"""One run from video files to its report, made once for all tests that look at what a run leaves behind."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from rich.console import Console

from distributed.manifest import Manifest
from distributed.settings import settings_key
from distributed.storage import Storage
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.experiment import load_experiment
from jobs.results import results_folder
from jobs.run import STAGES, run_up_to
from tests.conftest import WriteVideo
from tests.small_road import write_experiment

ACTORS, LABELS, TAKES = range(6), ("happy", "sad"), range(2)
FOLDS = 2
CONFIGURATIONS, PACK = 10, 2
BROKEN = "p0/happy-broken"  # a video that is no video
SMALL = {
    "folds": {"count": FOLDS, "validation": 0.3},
    "search": {"configurations": CONFIGURATIONS, "pack": PACK, "random_first": 4, "families": ["linear"]},
    "training": {"epochs": 4},
    "sweep": {"cpus_per_trial": 1},
}


def write_csv_videos(folder: Path, write_video: WriteVideo) -> dict[str, Any]:
    """The `data` section of a table of 24 videos and a broken one."""
    root, rows = folder / "videos", []
    for actor in ACTORS:
        for number, label in enumerate(LABELS):
            for take in TAKES:
                rows.append((f"p{actor}/{label}-{take}.mp4", label, f"p{actor}"))
                write_video(root / rows[-1][0], frames=18 + actor, seed=number)
    rows.append((f"{BROKEN}.mp4", "happy", "p0"))
    (root / rows[-1][0]).write_bytes(b"")
    with (folder / "videos.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "actor"), *rows])
    return {"format": "csv", "root": str(root), "table": str(folder / "videos.csv"), "max_failures": 0.1}


def listen(experiment: Path, *overrides: str) -> Context:
    """A context whose console is remembered, as in a pipe; `said` gives what it said."""
    return Context.of(load_experiment(experiment, overrides), Console(file=io.StringIO(), width=200))


def said(context: Context) -> str:
    assert isinstance(context.console.file, io.StringIO)
    return context.console.file.getvalue()


def state_of(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Every file below a folder with its time and content; MLflow's own ones are left out."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    own = [file for file in files if "mlflow.db" not in file.name and "mlartifacts" not in file.parts]
    return {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in own}


@dataclass(frozen=True)
class FinishedRun:
    """The experiment file and workspace of a run that has ended, and what it said."""

    experiment: Path
    workspace: Path
    said: str

    @property
    def context(self) -> Context:
        return listen(self.experiment)

    @property
    def manifest(self) -> Manifest:
        return self.context.manifest()

    @property
    def store(self) -> TokenStore:
        return self.context.store(self.manifest)

    @property
    def evaluation(self) -> Storage:
        return results_folder(self.context, self.manifest, self.store)

    @property
    def sweep_key(self) -> str:
        """The key of its sweep in MLflow, below which its folds' and configurations' runs lie."""
        return f"sweep:{settings_key(self.context.search_settings(self.manifest, self.store))}"

    @property
    def tokens(self) -> str:
        """The override with which an experiment in another workspace uses this run's tokens."""
        return f"tokens.store={self.store.storage.uri}"

    def copied(self, folder: Path, *overrides: str) -> Context:
        """The list, sweep and scores in another workspace below `folder`, with the same tokens."""
        for name in ("manifest", "sweep", "evaluation", "colours"):
            shutil.copytree(self.workspace / name, folder / "w" / name)
        return listen(self.experiment, f"workspace={folder}/w", self.tokens, *overrides)

    @contextmanager
    def changed(self, *overrides: str) -> Iterator[Context]:
        """Settings in the same workspace; what it remembers of its newest stages is put back after."""
        remembered = self.workspace / "stages-small.json"
        before = remembered.read_bytes()
        try:
            yield listen(self.experiment, *overrides)
        finally:
            remembered.write_bytes(before)


def _not_by_the_driver(*_: object) -> None:
    raise AssertionError("the driver reads tokens; on a cluster they would all go through the head")


def make_finished_run(folder: Path, write_video: WriteVideo) -> FinishedRun:
    """Needs a running Ray. Tokens are for its workers: a driver that reads them fails here, in every stage."""
    experiment = write_experiment(folder, folder, data=write_csv_videos(folder, write_video), **SMALL)
    context = listen(experiment)
    with pytest.MonkeyPatch.context() as this_process:
        for name in ("distributed.token_reader.read_ipc", "distributed.token_store.read_ipc"):
            this_process.setattr(name, _not_by_the_driver)
        run_up_to(context, STAGES[-1])
    return FinishedRun(experiment, Path(context.experiment.workspace), said(context))


def mlflow_runs(workspace: Path, experiment: str = "small") -> dict[str, Run]:
    """The MLflow runs of a workspace by their keys, each of which must be there once."""
    client = MlflowClient(f"sqlite:///{workspace}/mlflow.db")
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = client.search_runs([found.experiment_id], max_results=1000)
    by_key = {run.data.tags["fersweep.key"]: run for run in runs}
    assert len(by_key) == len(runs), "a configuration has two runs"
    return by_key
