"""A run to which nothing has happened, and what disturbed runs are compared with it by."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from distributed.scored_videos import read_scored
from jobs.context import Context
from jobs.results import results_folder
from tests.finished_run import listen
from tests.small_road import files_of
from tests.test_jobs_sweep import records_of
from tracking.runs import Tracker, local_uris

VIDEOS, TOGETHER, FOLDS, CONFIGURATIONS, PACK = 25, 5, 3, 4, 2
# A video has many passes, and a probe many epochs: the work lasts for long enough to be disturbed. The clips of one
# video fill a pass of the encoder, so that its tokens do not depend on whether another one is lost.
SECTIONS = {
    "views": {"train": 4},
    "embedding": {"videos_per_task": TOGETHER, "clips_per_batch": 2},
    "folds": {"count": FOLDS, "validation": 0.3},
    "search": {"configurations": CONFIGURATIONS, "pack": PACK, "random_first": 2, "families": ["linear"]},
    "training": {"epochs": 150},
    "sweep": {"cpus_per_trial": 1},
}
# Within this process, on two cores: another encoder would take longer to start than it saves.
ONE_ENCODER = "embedding.encoders=1"


@dataclass(frozen=True)
class Stage:
    """What a stage writes as parts of it end: below which folder, by which names, how many, and the units of each."""

    folder: str
    pattern: str
    total: int
    units: int = 1

    def done(self, workspace: Path) -> dict[Path, tuple[int, bytes]]:
        """Every part that has ended, by its file, with the time and the content."""
        found = {}
        for file in sorted(workspace.glob(f"{self.folder}/*/{self.pattern}")):
            with suppress(FileNotFoundError):  # a part of the store is deleted when its shard is sealed
                found[file] = (file.stat().st_mtime_ns, file.read_bytes())
        return found

    def count(self, workspace: Path) -> int:
        return len(list(workspace.glob(f"{self.folder}/*/{self.pattern}")))


STAGES = {
    "embed": Stage("tokens", "parts/part-*.arrow", VIDEOS // TOGETHER, TOGETHER),
    "sweep": Stage("sweep", "fold-*/pack-*.json", FOLDS * CONFIGURATIONS // PACK, PACK),
    "evaluate": Stage("evaluation", "fold-*.json", FOLDS),
}


@dataclass(frozen=True)
class Undisturbed:
    """A run up to its scores to which nothing has happened."""

    experiment: Path

    @property
    def context(self) -> Context:
        return listen(self.experiment, ONE_ENCODER)

    def prepare(self) -> None:
        """A database of MLflow's without a run of this experiment, once for all: its tables take a second to make."""
        uri, artifacts = local_uris(self._empty)
        Tracker(uri, "nothing", artifacts)
        self._copy_database(Path(self.context.experiment.workspace))

    @property
    def _empty(self) -> Path:
        return self.experiment.parent / "empty"

    def _copy_database(self, workspace: Path) -> None:
        workspace.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._empty / "mlflow.db")) as source:
            with closing(sqlite3.connect(workspace / "mlflow.db")) as target:
                source.backup(target)

    def before(self, stage: str, folder: Path) -> Context:
        """A workspace of its own in which the stages before this one are done."""
        names = [one.folder for one in list(STAGES.values())[: list(STAGES).index(stage)]]
        for name in ("manifest", *names):
            shutil.copytree(Path(self.context.experiment.workspace) / name, folder / "w" / name)
        self._copy_database(folder / "w")
        return self.at(folder)

    def at(self, folder: Path, *overrides: str) -> Context:
        return listen(self.experiment, f"workspace={folder}/w", ONE_ENCODER, *overrides)

    def check(self, context: Context, last: str = "evaluate") -> None:
        """Byte by byte the tokens, number by number the sweep and the scores."""
        manifest = context.manifest()
        store, own = context.store(manifest), self.context
        expected = own.store(manifest)
        assert store.complete and files_of(store.shards) == files_of(expected.shards)
        if last == "embed":
            return
        assert records_of(context) == records_of(own)
        if last == "evaluate":
            found = read_scored(results_folder(context, manifest, store))
            wanted = read_scored(results_folder(own, manifest, expected))
            assert found.video_ids == wanted.video_ids and found.scores() == wanted.scores()
            assert found.predicted.tolist() == wanted.predicted.tolist()
