"""A real MLflow server is killed in the middle of a sweep: the sweep goes on, and `sync` sends the rest later."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from distributed.errors import UserError
from jobs.context import Context
from jobs.run import run_stage
from jobs.sweep import fold_searches, found_records
from jobs.sync import sync
from tests.finished_run import FOLDS, FinishedRun, listen, mlflow_runs, said
from tracking.probe_runs import CURVES, probe_status
from tracking.runs import local_uris
from tracking.server import Server, free_port, serve

CONFIGURATIONS = 6  # three packs a fold: one before the server is killed, one about then, one after


def probes_of(context: Context) -> list[dict[str, Any]]:
    manifest = context.manifest()
    return found_records(fold_searches(context, manifest, context.store(manifest)))


def check_all_is_there(context: Context, tracked: Path) -> None:
    """Every value of every configuration, once, in the database behind the server."""
    client, runs = MlflowClient(f"sqlite:///{tracked}/mlflow.db"), mlflow_runs(tracked)
    (sweep,) = [key for key in runs if "/" not in key]
    probes = probes_of(context)
    folds = {record["fold"] for record in probes}
    wanted = {f"{sweep}/fold:{record['fold']}/trial:{record['trial']}" for record in probes}
    assert runs.keys() == {sweep, *(f"{sweep}/fold:{fold}" for fold in folds), *wanted}
    for record in probes:
        run = runs[f"{sweep}/fold:{record['fold']}/trial:{record['trial']}"]
        assert run.info.status == probe_status(record)
        assert run.data.params == {name: str(value) for name, value in record["params"].items()}
        for name in CURVES:
            points = client.get_metric_history(run.info.run_id, name)
            reported = [(epoch["epoch"], epoch[name]) for epoch in record["curves"] if epoch.get(name) is not None]
            assert [(point.step, point.value) for point in points] == reported


def start_server(folder: Path, port: int) -> Server:
    server = serve(*local_uris(folder), free_port(port))
    assert not server.moved or port == 5700
    return server


def stop_when(server: Server, files: Path, pattern: str) -> threading.Thread:
    """Stop the server once a file has come."""

    def watch() -> None:
        deadline = time.monotonic() + 120
        while not any(files.glob(pattern)) and time.monotonic() < deadline:
            time.sleep(0.02)
        server.stop()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_server_killed_in_the_middle_costs_nothing(finished_run: FinishedRun, tmp_path: Path) -> None:
    tracked, workspace = tmp_path / "server", tmp_path / "w"
    server = start_server(tracked, 5700)
    options = [f"workspace={workspace}", finished_run.tokens, f"tracking.uri={server.url}"]
    options.append(f"search.configurations={CONFIGURATIONS}")
    context = listen(finished_run.experiment, *options)
    run_stage(context, "index")
    watch = stop_when(server, workspace, "sweep/*/fold-*/pack-00001.json")
    run_stage(context, "sweep")
    watch.join()
    assert f"fold {FOLDS - 1}: {CONFIGURATIONS} configurations" in said(context)  # it went on to its end
    assert "MLflow does not answer" in said(context)
    assert "`fersweep sync` with this experiment file sends them" in said(context)
    assert len(probes_of(context)) == FOLDS * CONFIGURATIONS

    run_stage(context, "evaluate")  # nor does it stop what comes later
    with pytest.raises(UserError, match="cannot be used"):
        sync(listen(finished_run.experiment, *options))

    with serve(*local_uris(tracked), server.port) as again:
        assert again.url == server.url
        sync(listen(finished_run.experiment, *options))
        check_all_is_there(context, tracked)
        first = {key: run.to_dictionary() for key, run in mlflow_runs(tracked).items()}
        sync(listen(finished_run.experiment, *options))
    assert {key: run.to_dictionary() for key, run in mlflow_runs(tracked).items()} == first
    for fold in range(FOLDS):
        (run,) = [run for key, run in first.items() if key.endswith(f"fold:{fold}")]
        names = [metric["key"] if isinstance(metric, dict) else metric for metric in run["data"]["metrics"]]
        assert "test_uar" in names


@pytest.mark.soak
def test_five_hundred_configurations_of_four_folds_arrive_whole(finished_run: FinishedRun, tmp_path: Path) -> None:
    tracked, workspace = tmp_path / "server", tmp_path / "w"
    with serve(*local_uris(tracked), free_port(5750)) as server:
        options = [f"workspace={workspace}", finished_run.tokens, f"tracking.uri={server.url}"]
        options += ["folds.count=4", "search.configurations=125", "search.pack=25", "sweep.cpus_per_trial=0.5"]
        context = listen(finished_run.experiment, *options)
        run_stage(context, "index")
        run_stage(context, "sweep")
    assert len(probes_of(context)) == 500
    assert "warning: MLflow" not in said(context)
    check_all_is_there(context, tracked)
