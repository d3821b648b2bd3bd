"""`fersweep sync`: what MLflow misses of a workspace's results is sent, and nothing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from jobs.context import Context
from jobs.run import run_stage
from jobs.sweep import fold_searches, found_records
from jobs.sync import sync
from tests.finished_run import FOLDS, FinishedRun, listen, mlflow_runs, said
from tracking.probe_runs import CURVES, probe_status
from tracking.runs import local_uris
from tracking.server import free_port, serve


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


def test_sync_sends_what_mlflow_misses_and_nothing_twice(finished_run: FinishedRun, tmp_path: Path) -> None:
    """All of it to an empty database, and a run that somebody has deleted. `test_accidents.py` cuts a server off."""
    context = finished_run.copied(tmp_path)
    sync(context)
    assert f"sync: MLflow has {len(probes_of(context))} configurations and the scores of {FOLDS} folds" in said(context)
    check_all_is_there(context, tmp_path / "w")
    first = mlflow_runs(tmp_path / "w")
    (lost, *_) = [key for key in first if key.endswith("fold:1/trial:0")]
    MlflowClient(f"sqlite:///{tmp_path}/w/mlflow.db").delete_run(first[lost].info.run_id)
    sync(listen(finished_run.experiment, f"workspace={tmp_path}/w", finished_run.tokens))
    check_all_is_there(context, tmp_path / "w")
    again = mlflow_runs(tmp_path / "w")
    changed = {key for key in first if again[key].to_dictionary() != first[key].to_dictionary()}
    assert changed == {lost}


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
