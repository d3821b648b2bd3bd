"""Nodes that go and come while a command runs, on several raylets of this machine: nothing lost, nothing different."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from ray.cluster_utils import Cluster

from distributed.scored_videos import read_scored
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.index import index
from jobs.results import results_folder
from jobs.run import run_stage
from tests.conftest import WriteVideo
from tests.finished_run import FinishedRun, listen
from tests.raylets import add, lose, start_raylets
from tests.small_road import (
    fersweep,
    files_of,
    finish,
    kill_when,
    open_context,
    open_store,
    write_experiment,
    write_faces,
)
from tests.test_jobs_sweep import PACKS, records_of


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head with one CPU, to which a driver connects as to any cluster."""
    with start_raylets() as found:
        yield found


def wait_for(process: subprocess.Popen[str], moment: Callable[[], bool], timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not moment():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the moment never came"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def embedding(write_video: WriteVideo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of 96 parts whose videos are listed."""
    folder = tmp_path_factory.mktemp("accidents")
    videos = write_faces(folder / "videos", write_video, actors=range(1, 13))
    experiment = write_experiment(folder, videos, embedding={"videos_per_task": 1})
    index(open_context(experiment))
    return experiment


@pytest.fixture(scope="module")
def undisturbed(embedding: Path, cluster: Cluster) -> dict[str, bytes]:
    place = f"tokens.store={embedding.parent}/undisturbed"
    code, output = finish(fersweep("embed", embedding, place, f"cluster.address={cluster.address}"))
    assert code == 0, output
    return files_of(open_store(open_context(embedding, place))[1].shards)


@pytest.mark.parametrize("joins", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_an_embedding_goes_on_when_a_node_is_lost_and_when_one_joins(
    embedding: Path, cluster: Cluster, undisturbed: dict[str, bytes], joins: bool
) -> None:
    place = f"tokens.store={embedding.parent}/lost-{joins}"
    store: TokenStore = open_store(open_context(embedding, place))[1]
    node = add(cluster)
    process = fersweep("embed", embedding, place, f"cluster.address={cluster.address}")
    wait_for(process, lambda: len(store.waiting_parts()) >= 5)
    lose(cluster, node)
    assert not store.complete
    newcomer = add(cluster) if joins else None
    code, output = finish(process)
    if newcomer:
        lose(cluster, newcomer)
    assert code == 0, output
    assert store.complete and store.failures() == [] and files_of(store.shards) == undisturbed


def test_a_sweep_goes_on_when_a_node_is_lost(finished_run: FinishedRun, tmp_path: Path, cluster: Cluster) -> None:
    workspace = tmp_path / "workspace"
    overrides = [f"workspace={workspace}", finished_run.tokens]
    context = listen(finished_run.experiment, *overrides)
    run_stage(context, "index")
    node = add(cluster)
    process = fersweep("sweep", finished_run.experiment, *overrides, f"cluster.address={cluster.address}")
    wait_for(process, lambda: any(workspace.glob("sweep/*/fold-*/pack-*.json")))
    lose(cluster, node)
    code, output = finish(process)
    assert code == 0, output
    assert len(list(workspace.glob("sweep/*/fold-*/pack-*.json"))) == PACKS
    assert records_of(context) == records_of(finished_run.context)


def test_a_spot_machine_that_is_taken_back_keeps_what_is_finished(
    embedding: Path, cluster: Cluster, undisturbed: dict[str, bytes]
) -> None:
    """SIGTERM of the driver: it ends within ten seconds, and the same command adds what is missing."""
    place = f"tokens.store={embedding.parent}/reclaimed"
    store: TokenStore = open_store(open_context(embedding, place))[1]
    command = ("embed", embedding, place, f"cluster.address={cluster.address}")
    process = fersweep(*command)
    wait_for(process, lambda: len(store.waiting_parts()) >= 5)
    told = time.monotonic()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert time.monotonic() - told < 10
    assert process.returncode not in (0, None) and "Traceback" not in output, output
    before = {name: store.storage.child("parts").modified(name) for name in store.storage.child("parts").names()}
    assert 5 <= len(before) < store.header.num_parts
    code, output = finish(fersweep(*command))
    assert code == 0 and f"embed: {len(before)}/{store.header.num_parts}" in output, output
    assert files_of(store.shards) == undisturbed


def same_results(context: Context, finished_run: FinishedRun) -> None:
    """Byte by byte the tokens, number by number the sweep and the scores."""
    manifest = context.manifest()
    store = context.store(manifest)
    found = read_scored(results_folder(context, manifest, store))
    expected = read_scored(finished_run.evaluation)
    assert files_of(store.shards) == files_of(finished_run.store.shards)
    assert records_of(context) == records_of(finished_run.context)
    assert found.video_ids == expected.video_ids and found.scores() == expected.scores()
    assert found.predicted.tolist() == expected.predicted.tolist()


def test_an_evaluation_that_was_killed_goes_on_and_scores_the_same(finished_run: FinishedRun, tmp_path: Path) -> None:
    context = finished_run.copied(tmp_path)
    workspace = Path(context.experiment.workspace)
    shutil.rmtree(workspace / "evaluation")
    command = ("evaluate", finished_run.experiment, f"workspace={workspace}", finished_run.tokens)
    kill_when(fersweep(*command, "cluster.num_cpus=2"), lambda: any(workspace.glob("evaluation/*/fold-*.parquet")))
    run_stage(context, "evaluate")
    same_results(context, finished_run)


@pytest.mark.soak
def test_a_run_that_is_killed_at_ten_random_moments_ends_as_if_nothing_had_been(
    finished_run: FinishedRun, tmp_path: Path
) -> None:
    moments = np.random.default_rng(0).uniform(3, 25, size=10)
    overrides = [f"workspace={tmp_path}/w", "cluster.num_cpus=2"]
    for seconds in moments:
        process = fersweep("run", finished_run.experiment, *overrides)
        with suppress(subprocess.TimeoutExpired):  # the last ones may find nothing left to do, and end before
            process.communicate(timeout=seconds)
        if process.poll() is None:
            kill_when(process, lambda: True)
    code, output = finish(fersweep("run", finished_run.experiment, *overrides))
    assert code == 0, output
    same_results(listen(finished_run.experiment, *overrides), finished_run)
