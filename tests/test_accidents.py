"""Drivers killed, told to end, or without a disk; nodes that go and come; deadly videos; an MLflow that is gone.

Nothing is lost and nothing different. Drivers connect to several raylets of this machine as to any cluster: a head
without CPUs, and a node with one.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from ray.cluster_utils import Cluster

from distributed.encoder_deaths import REASON
from distributed.errors import UserError
from distributed.token_store import TokenStore, read_ipc
from jobs.run import run_stage, run_up_to
from jobs.sync import sync
from tests.accidents import deadly, hanging, kill_opener, small_disk
from tests.conftest import WriteVideo
from tests.finished_run import BROKEN, mlflow_runs, said, write_csv_videos
from tests.raylets import add, lose, start_raylets, works_on
from tests.relay import relayed_server
from tests.silent_endpoint import Asking, ask_silence
from tests.small_road import fersweep, finish, kill_when, start_python, wait_for, write_experiment
from tests.test_jobs_sync import check_all_is_there
from tests.undisturbed import CONFIGURATIONS, FOLDS, SECTIONS, STAGES, Undisturbed

EMBED = """
import sys
from pathlib import Path
from distributed.cluster import ray_session
from distributed.embedding import embed
from tests.accidents import DiesOnDeadly
from tests.small_road import open_context
context = open_context(Path(sys.argv[1]), *sys.argv[2:])
manifest = context.manifest()
with ray_session(context.experiment.cluster):
    embed(context.store(manifest), manifest, context.experiment.embedding_settings, print, encode=DiesOnDeadly)
"""


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


@pytest.fixture(scope="module")
def undisturbed(shared_ray: None, write_video: WriteVideo, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("accidents")
    data = write_csv_videos(folder, write_video)
    run = Undisturbed(write_experiment(folder, folder, data=data, **SECTIONS))
    run.prepare()
    run_up_to(run.context, "evaluate")
    return run


@pytest.mark.parametrize(("stage", "killed", "told"), [("embed", 1, 2), ("sweep", 1, 2), ("evaluate", 1, 2)])
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


def tokens_of(store: TokenStore, lost: set[str]) -> list[pa.Table]:
    """The rows of every shard but those of lost videos."""
    tables = [read_ipc(store.shards, name)[0] for name in store.shards.names()]
    gone = pa.array(sorted(lost), pa.string())
    return [table.filter(pc.invert(pc.is_in(table["video_id"], value_set=gone))) for table in tables]


def test_videos_on_which_a_decode_hangs_or_crashes_or_every_encoder_dies(
    undisturbed: Undisturbed, cluster: Cluster, tmp_path: Path
) -> None:
    """A row each; all others have the tokens that they have without them, and these get theirs once they are mended."""
    context = undisturbed.before("embed", tmp_path)
    manifest = context.manifest()
    paths = dict(zip(manifest.table["video_id"].to_pylist(), manifest.table["path"].to_pylist(), strict=True))
    dies, hangs, crashes = "p1/sad-0", "p3/happy-0", "p4/happy-1"
    settings = (f"workspace={tmp_path}/w", f"cluster.address={cluster.address}", "data.max_failures=0.2")
    with deadly(Path(paths[dies])), hanging(Path(paths[hangs])), hanging(Path(paths[crashes])) as pipe:
        process = start_python("-c", EMBED, undisturbed.experiment, *settings, "decoding.deadline_s=5")
        kill_opener(pipe)
        code, output = finish(process)
    assert code == 0, output
    store, whole = context.store(manifest), undisturbed.context.store(manifest)
    reasons = {
        BROKEN: ("decode", "the file is empty; copy it again"),
        dies: ("encode", REASON),
        hangs: ("decode", "the decoder gave no answer within 5 s and was killed"),
        crashes: ("decode", "the decoder crashed (exit code -9)"),
    }
    failures = {failure.video_id: failure for failure in store.failures()}
    assert store.complete and failures.keys() == reasons.keys()
    for video, (stage, reason) in reasons.items():
        assert failures[video].stage == stage and failures[video].reason.startswith(reason)
    lost = set(reasons)
    found = tokens_of(store, set())
    assert sum(map(len, found)) == (len(paths) - len(lost)) * len(store.header.views)
    assert all(map(pa.Table.equals, found, tokens_of(whole, lost)))

    run_stage(context, "embed")
    undisturbed.check(context, "embed")


def ended_runs(tracked: Path) -> int:
    """How many configurations are whole in the database behind a server."""
    with closing(sqlite3.connect(f"file:{tracked}/mlflow.db?mode=ro", uri=True)) as database:
        (count,) = database.execute("SELECT COUNT(*) FROM runs WHERE status != 'RUNNING'").fetchone()
        return int(count)


def test_nodes_that_are_lost_and_join_in_every_stage_and_an_mlflow_that_is_gone_for_a_while_and_for_good(
    undisturbed: Undisturbed, cluster: Cluster, tmp_path: Path
) -> None:
    """One run with all of it finds the same; what MLflow missed comes when it is back, or with `sync`, and once."""
    workspace, tracked = tmp_path / "w", tmp_path / "server"
    embed, sweep, evaluate = STAGES.values()
    node = add(cluster)
    with relayed_server(tracked) as relay:
        uri = f"tracking.uri={relay.url}"
        address = f"cluster.address={cluster.address}"
        process = fersweep("run", undisturbed.experiment, f"workspace={workspace}", address, uri)
        wait_for(process, lambda: embed.count(workspace) >= 1)
        lose(cluster, node)
        there = embed.count(workspace)
        assert there < embed.total
        wait_for(process, lambda: not 0 < embed.count(workspace) <= there)  # it goes on without it, or has sealed all
        node = add(cluster)
        wait_for(process, lambda: sweep.count(workspace) >= 1)
        lose(cluster, node)
        relay.cut()
        assert sweep.count(workspace) < sweep.total
        node = add(cluster)
        before = ended_runs(tracked)
        wait_for(process, lambda: sweep.count(workspace) >= 3)
        relay.open()
        wait_for(process, lambda: ended_runs(tracked) > before)
        relay.cut()
        wait_for(process, lambda: works_on(node, "_evaluate_fold"))
        lose(cluster, node)
        assert evaluate.count(workspace) < FOLDS
        code, output = finish(process)
        assert code == 0 and "MLflow does not answer" in output, output
        assert "`fersweep sync` with this experiment file sends them" in output
        undisturbed.check(undisturbed.at(tmp_path))
        with pytest.raises(UserError, match="cannot be used"):
            sync(undisturbed.at(tmp_path, uri))
        relay.open()
        sync(undisturbed.at(tmp_path, uri))
        check_all_is_there(undisturbed.at(tmp_path), tracked)
        first = {key: run.to_dictionary() for key, run in mlflow_runs(tracked).items()}
        sync(undisturbed.at(tmp_path, uri))
    assert {key: run.to_dictionary() for key, run in mlflow_runs(tracked).items()} == first
    folds = [run for key, run in mlflow_runs(tracked).items() if key.rpartition("/")[2].startswith("fold:")]
    assert len(folds) == FOLDS and all("test_uar" in run.data.metrics for run in folds)


@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_fills_up(undisturbed: Undisturbed, cluster: Cluster, tmp_path: Path, stage: str) -> None:
    """In the middle of the work: one message; the same command goes on once there is room."""
    work = STAGES[stage]
    with small_disk(tmp_path / "disk", 64) as disk:
        undisturbed.before(stage, disk.place)
        workspace = disk.place / "w"
        watch = disk.fill_when(lambda: work.count(workspace) >= 1)
        code, output = finish(
            fersweep(stage, undisturbed.experiment, f"workspace={workspace}", f"cluster.address={cluster.address}")
        )
        watch.join()
        assert code == 2 and "Traceback" not in output, output
        message = output.splitlines()[-1]
        assert message.startswith("fersweep: no space left on the disk") and "set workspace" in message
        done = work.done(workspace)
        assert 1 <= len(done) < work.total

        disk.leave(50_000_000)  # figures take 5 MB, in the workspace and in MLflow
        context = undisturbed.at(disk.place)
        run_stage(context, stage)
        assert f"{stage}: {len(done) * work.units}/{work.total * work.units}" in said(context)
        after = work.done(workspace)
        assert {file: after[file] for file in done if file in after} == (done if stage != "embed" else {})
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
