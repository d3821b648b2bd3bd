"""A driver killed, told to end, or without a disk, and nodes that go and come: nothing lost, nothing different.

Drivers connect to several raylets of this machine as to any cluster: a head without CPUs, and a node with one.
"""

from __future__ import annotations

import errno
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ray.cluster_utils import Cluster

from distributed.scored_videos import read_scored
from jobs.context import Context
from jobs.results import results_folder
from jobs.run import run_stage, run_up_to
from tests.accidents import small_disk
from tests.conftest import WriteVideo
from tests.finished_run import listen, mlflow_runs, said, write_csv_videos
from tests.raylets import add, lose, start_raylets, works_on
from tests.silent_endpoint import Asking, ask_silence
from tests.small_road import fersweep, files_of, finish, kill_when, write_experiment
from tests.test_jobs_sweep import records_of

VIDEOS, FOLDS, CONFIGURATIONS, PACK = 25, 3, 4, 2
# A video has many passes, and a probe many epochs: the work lasts for long enough to be disturbed.
SECTIONS = {
    "views": {"train": 4},
    "embedding": {"videos_per_task": 1},
    "folds": {"count": FOLDS, "validation": 0.3},
    "search": {"configurations": CONFIGURATIONS, "pack": PACK, "random_first": 2, "families": ["linear"]},
    "training": {"epochs": 150},
    "sweep": {"cpus_per_trial": 1},
}


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
    "embed": Stage("tokens", "parts/part-*.arrow", VIDEOS),
    "sweep": Stage("sweep", "fold-*/pack-*.json", FOLDS * CONFIGURATIONS // PACK, PACK),
    "evaluate": Stage("evaluation", "fold-*.json", FOLDS),
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with start_raylets(head_cpus=0) as found:
        add(found)
        yield found


@pytest.fixture(scope="module", autouse=True)
def silence() -> Iterator[Asking]:
    """Asked while the other tests run: the client tries for a minute or two."""
    with ask_silence() as asking:
        yield asking


@dataclass(frozen=True)
class Undisturbed:
    """A run up to its scores to which nothing has happened."""

    experiment: Path

    @property
    def context(self) -> Context:
        return listen(self.experiment)

    def before(self, stage: str, folder: Path) -> Context:
        """A workspace of its own in which the stages before this one are done."""
        names = [one.folder for one in list(STAGES.values())[: list(STAGES).index(stage)]]
        for name in ("manifest", *names):
            shutil.copytree(Path(self.context.experiment.workspace) / name, folder / "w" / name)
        return self.at(folder)

    def at(self, folder: Path) -> Context:
        return listen(self.experiment, f"workspace={folder}/w")

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


@pytest.fixture(scope="module")
def undisturbed(shared_ray: None, write_video: WriteVideo, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("accidents")
    data = write_csv_videos(folder, write_video)
    run = Undisturbed(write_experiment(folder, folder, data=data, **SECTIONS))
    run_up_to(run.context, "evaluate")
    return run


def wait_for(process: subprocess.Popen[str], moment: Callable[[], bool], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not moment():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the moment never came"
        time.sleep(0.01)


@pytest.mark.parametrize(("stage", "killed", "told"), [("embed", 3, 8), ("sweep", 1, 3), ("evaluate", 1, 2)])
def test_a_driver_that_is_killed_and_one_that_is_told_to_end(
    undisturbed: Undisturbed, cluster: Cluster, tmp_path: Path, stage: str, killed: int, told: int
) -> None:
    """SIGKILL once `killed` parts have ended; the same command goes on, gets SIGTERM after `told`, and is run again."""
    work, context = STAGES[stage], undisturbed.before(stage, tmp_path)
    workspace = tmp_path / "w"
    command = (stage, undisturbed.experiment, f"workspace={workspace}", f"cluster.address={cluster.address}")
    kill_when(fersweep(*command), lambda: work.count(workspace) >= killed)
    first = work.done(workspace)

    process = fersweep(*command)
    wait_for(process, lambda: work.count(workspace) >= max(told, len(first) + 1))
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert time.monotonic() - began < 10
    assert process.returncode == 143 and output.rstrip().endswith("and the same command goes on from there"), output
    assert "fersweep: told to end (SIGTERM); what is finished is kept" in output and "Traceback" not in output
    second = work.done(workspace)
    assert killed <= len(first) < len(second) < work.total, "it was disturbed too late for this test to say anything"
    assert {file: second[file] for file in first} == first, "a part that had ended was made again"
    assert f"{stage}: {len(first) * work.units}/{work.total * work.units}" in output

    run_stage(context, stage)
    assert f"{stage}: {len(second) * work.units}/{work.total * work.units}" in said(context)
    third = work.done(workspace)
    assert {file: third[file] for file in second if file in third} == {f: second[f] for f in second if f in third}
    assert len(third) == (0 if stage == "embed" else work.total)  # sealed into shards, or all there
    undisturbed.check(context, stage)
    if stage == "sweep":
        runs = mlflow_runs(workspace)
        assert len(runs) == 1 + FOLDS * (1 + CONFIGURATIONS)
        assert "RUNNING" not in {run.info.status for run in runs.values()}


def test_nodes_that_are_lost_and_join_in_every_stage(
    undisturbed: Undisturbed, cluster: Cluster, tmp_path: Path
) -> None:
    context, workspace = undisturbed.at(tmp_path), tmp_path / "w"
    node = add(cluster)
    address = f"cluster.address={cluster.address}"
    process = fersweep("run", undisturbed.experiment, f"workspace={workspace}", address)
    embed, sweep, evaluate = STAGES.values()
    wait_for(process, lambda: embed.count(workspace) >= 3)
    lose(cluster, node)
    there = embed.count(workspace)
    wait_for(process, lambda: embed.count(workspace) > there)  # it goes on without it
    assert embed.count(workspace) < VIDEOS
    node = add(cluster)
    wait_for(process, lambda: sweep.count(workspace) >= 1)
    lose(cluster, node)
    assert sweep.count(workspace) < sweep.total
    node = add(cluster)
    wait_for(process, lambda: works_on(node, "_evaluate_fold"))
    lose(cluster, node)
    assert evaluate.count(workspace) < FOLDS
    code, output = finish(process)
    assert code == 0, output
    undisturbed.check(context)


@pytest.mark.parametrize("stage", ["sweep", "evaluate"])
def test_a_disk_that_fills_up(undisturbed: Undisturbed, tmp_path: Path, stage: str) -> None:
    """Full before it starts and in the middle: one error; the same command goes on once there is room."""
    work = STAGES[stage]
    with small_disk(tmp_path / "disk", 64) as disk:
        undisturbed.before(stage, disk.place)
        workspace = disk.place / "w"
        watch = disk.fill_when(lambda: work.count(workspace) >= 1)
        with pytest.raises(OSError, match="No space left") as error:
            run_stage(undisturbed.at(disk.place), stage)
        watch.join()
        assert error.value.errno == errno.ENOSPC
        done = work.done(workspace)
        assert 1 <= len(done) < work.total

        disk.leave(50_000_000)  # figures take 5 MB, in the workspace and in MLflow
        context = undisturbed.at(disk.place)
        run_stage(context, stage)
        assert f"{stage}: {len(done) * work.units}/{work.total * work.units}" in said(context)
        after = work.done(workspace)
        assert {file: after[file] for file in done} == done
        undisturbed.check(context, stage)


def test_a_store_that_takes_connections_and_never_answers(silence: Asking) -> None:
    seconds, text = silence.answer(timeout_s=180)
    assert seconds < 180 and text.startswith("s3://faces/ws/a: ")
    assert "check that its endpoint (AWS_ENDPOINT_URL, or endpoint_override in the address) answers" in text


@pytest.mark.soak
def test_a_run_that_is_killed_at_ten_random_moments_ends_as_if_nothing_had_been(
    undisturbed: Undisturbed, cluster: Cluster, tmp_path: Path
) -> None:
    command = ("run", undisturbed.experiment, f"workspace={tmp_path}/w", f"cluster.address={cluster.address}")
    for seconds in np.random.default_rng(0).uniform(3, 25, size=10):
        process = fersweep(*command)
        with suppress(subprocess.TimeoutExpired):  # the last ones may find nothing left to do, and end before
            process.communicate(timeout=seconds)
        if process.poll() is None:
            kill_when(process, lambda: True)
    code, output = finish(fersweep(*command))
    assert code == 0, output
    undisturbed.check(undisturbed.at(tmp_path))
