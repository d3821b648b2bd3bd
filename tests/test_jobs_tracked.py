"""A finished run in MLflow: three levels of runs, and in each what a reader looks for there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from distributed.errors import UserError
from jobs.context import Context
from jobs.report import fold_records
from jobs.sweep import fold_searches, found_records
from jobs.tracked import tracked_sweep, tracking_uris
from jobs.versions import code_version
from tests.finished_run import BROKEN, CONFIGURATIONS, FOLDS, FinishedRun, listen, mlflow_runs
from tracking.records import summarize


@pytest.fixture(scope="module")
def runs(finished_run: FinishedRun) -> dict[str, Run]:
    """The runs of the nested sweep, by the ends of their keys: "", "/fold:0", "/fold:0/trial:3"."""
    key = finished_run.sweep_key
    found = mlflow_runs(finished_run.workspace)
    return {name.removeprefix(key): run for name, run in found.items() if name.split("/")[0] == key}


def artifact(finished: FinishedRun, run: Run, path: str) -> bytes:
    client = MlflowClient(f"sqlite:///{finished.workspace}/mlflow.db")
    return Path(client.download_artifacts(run.info.run_id, path)).read_bytes()


def probe_records(finished: FinishedRun) -> list[dict[str, Any]]:
    return found_records(fold_searches(finished.context, finished.manifest, finished.store))


def test_the_runs_nest_from_the_sweep_to_every_configuration(runs: dict[str, Run]) -> None:
    folds = {f"/fold:{fold}" for fold in range(FOLDS)}
    assert runs.keys() == {"", *folds, *(f"{f}/trial:{t}" for f in folds for t in range(CONFIGURATIONS))}
    for key, run in runs.items():
        parent = run.data.tags.get("mlflow.parentRunId")
        assert parent == (runs[key.rpartition("/")[0]].info.run_id if key else None), key
        pruned = run.data.tags["status"] == "pruned" if "/trial:" in key else False
        assert run.info.status == ("KILLED" if pruned else "FINISHED")


def test_a_configuration_has_its_parameters_curves_and_end(runs: dict[str, Run], finished_run: FinishedRun) -> None:
    client = MlflowClient(f"sqlite:///{finished_run.workspace}/mlflow.db")
    for record in probe_records(finished_run):
        run = runs[f"/fold:{record['fold']}/trial:{record['trial']}"]
        assert {name: run.data.params[name] for name in record["params"]} == {
            name: str(value) for name, value in record["params"].items()
        }
        assert run.data.tags["status"] == record["state"]
        complete = record["state"] == "complete"
        assert run.data.metrics["score" if complete else "validation_uar"] == pytest.approx(record["score"])
    record = probe_records(finished_run)[0]
    for name in ("train_loss", "validation_loss", "validation_uar", "validation_war"):
        points = client.get_metric_history(runs["/fold:0/trial:0"].info.run_id, name)
        assert [(point.step, point.value) for point in points] == [
            (epoch["epoch"], pytest.approx(epoch[name])) for epoch in record["curves"]
        ]


def test_a_fold_has_its_test_scores_and_the_sweep_their_mean_and_deviation(
    runs: dict[str, Run], finished_run: FinishedRun
) -> None:
    records = fold_records(finished_run.context, finished_run.manifest, finished_run.store)
    assert len(records) == FOLDS
    for record in records:
        run = runs[f"/fold:{record['fold']}"]
        for name, value in record["scores"].items():
            assert run.data.metrics[f"test_{name}"] == pytest.approx(value)
        assert run.data.tags["winner.trial"] == str(record["trial"])
        assert run.data.params["test_videos"] == str(record["num_test"])
        assert artifact(finished_run, run, "confusion.png").startswith(b"\x89PNG")
    for name, value in summarize(records).items():
        assert runs[""].data.metrics[name] == pytest.approx(value)
    measured = runs[""].data.metrics
    assert measured["embed_clips"] == 48 and 0 <= measured["embed_wait_share"] <= 1 and measured["embed_seconds"] > 0
    assert {"test_uar_mean", "test_uar_std", "test_war_mean", "test_war_std"} <= runs[""].data.metrics.keys()
    for key, run in runs.items():
        assert "/trial:" not in key or not any(name.startswith("test_") for name in run.data.metrics)


def test_the_sweep_says_from_what_it_came(runs: dict[str, Run], finished_run: FinishedRun) -> None:
    sweep, header = runs[""], finished_run.store.header
    assert sweep.data.tags["code"] == code_version()
    assert sweep.data.tags["manifest"] == finished_run.manifest.content_hash
    assert sweep.data.tags["encoder.sha256"] == header.encoder["sha256"]
    assert sweep.data.tags["store"] == finished_run.context.tokens_key(header)
    assert sweep.data.tags["store.uri"] == finished_run.store.storage.uri
    assert sweep.data.params["videos"] == "25"
    written = yaml.safe_load(artifact(finished_run, sweep, "experiment.yaml"))
    assert written == finished_run.context.experiment.model_dump(mode="json")
    failures = artifact(finished_run, sweep, "failures.tsv").decode().splitlines()
    assert failures == ["video_id\tstage\treason", f"{BROKEN}\tdecode\t{finished_run.store.failures()[0].reason}"]


def test_the_report_lies_beside_the_sweep(runs: dict[str, Run], finished_run: FinishedRun) -> None:
    folder = finished_run.evaluation.child("report")
    for name in ("report.html", "report.md"):
        assert artifact(finished_run, runs[""], name) == folder.read_bytes(name)


def elsewhere(finished: FinishedRun, folder: Path, *overrides: str) -> Context:
    """Another workspace with the same tokens."""
    return listen(finished.experiment, f"workspace={folder}/w", finished.tokens, *overrides)


def _statuses_once_there(workspace: Path) -> set[str]:
    """Runs are sent by a thread of their own: all of them run soon."""
    deadline = time.monotonic() + 20
    while True:
        found = mlflow_runs(workspace)
        statuses = {run.info.status for run in found.values()}
        if (len(found) == 1 + FOLDS and statuses == {"RUNNING"}) or time.monotonic() > deadline:
            return statuses
        time.sleep(0.05)


def test_a_sweep_that_breaks_off_is_marked_and_runs_again(finished_run: FinishedRun, tmp_path: Path) -> None:
    context, manifest, store = elsewhere(finished_run, tmp_path), finished_run.manifest, finished_run.store
    settings = context.search_settings(manifest, store)
    statuses = []
    for error in (KeyboardInterrupt, UserError, None):
        try:
            with tracked_sweep(context, manifest, store, settings):
                statuses.append(_statuses_once_there(tmp_path / "w"))
                if error is not None:
                    raise error
        except (KeyboardInterrupt, UserError):
            pass
        found = mlflow_runs(tmp_path / "w")
        statuses.append({run.info.status for run in found.values()})
        assert len(found) == 1 + FOLDS
    assert statuses == [{"RUNNING"}, {"KILLED"}, {"RUNNING"}, {"FAILED"}, {"RUNNING"}, {"FINISHED"}]


def test_where_runs_are_kept(finished_run: FinishedRun, tmp_path: Path) -> None:
    uri, artifacts = tracking_uris(elsewhere(finished_run, tmp_path))
    assert uri.startswith("sqlite:") and artifacts == (tmp_path / "w/mlartifacts").as_uri()
    assert tracking_uris(elsewhere(finished_run, tmp_path, "tracking.uri=http://mlflow:5000")) == (
        "http://mlflow:5000",
        None,
    )
    remote = listen(finished_run.experiment, "workspace=s3://bucket/w?region=eu-central-1")
    with pytest.raises(UserError, match=r"tracking.uri: missing; the workspace s3://bucket/w.*name an MLflow server"):
        tracking_uris(remote)


def test_a_place_that_cannot_keep_runs_is_refused_by_its_key(finished_run: FinishedRun, tmp_path: Path) -> None:
    manifest, store = finished_run.manifest, finished_run.store
    silent = elsewhere(finished_run, tmp_path, "tracking.uri=http://127.0.0.1:1")
    with pytest.raises(UserError, match="tracking.uri: the MLflow server at http://127.0.0.1:1 cannot be used"):
        with tracked_sweep(silent, manifest, store, {}):
            pytest.fail("it went on")
    (tmp_path / "w").write_text("a file")
    with pytest.raises(UserError, match=f"workspace {tmp_path}/w"):
        with tracked_sweep(elsewhere(finished_run, tmp_path), manifest, store, {}):
            pytest.fail("it went on")
