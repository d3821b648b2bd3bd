"""Keyed runs in a real MLflow database."""

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric
from sqlalchemy.engine import make_url

from tests.tracking_records import shared_workspace
from tracking.run_store import PARAM_LIMIT, TAG_LIMIT, RunStore, metric_name, now

Open = Callable[[], RunStore]


@pytest.fixture
def open_store(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Open:
    """Opens the store of this test's experiment, as a new process would."""
    uri, artifacts = shared_workspace(tmp_path_factory)
    return lambda: RunStore(uri, request.node.name, artifacts)


@pytest.fixture
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    return MlflowClient(tracking_uri=shared_workspace(tmp_path_factory)[0])


def test_a_run_is_found_again_by_its_key_and_its_neighbours_are_not(open_store: Open) -> None:
    store = open_store()
    made = store.create("sweep:a_b/fold:0", "fold 0", {"fold": "0"}, now())
    store.create("sweep:a_bc", "another", {}, now())
    store.create("sweep:axb", "one that LIKE would take", {}, now())
    store.log(made, [Metric("uar", 0.1 + 0.2, now(), 0)], {"lr": 1e-3})
    found = open_store().load("sweep:a_b")
    assert list(found) == ["sweep:a_b/fold:0"]
    run = found["sweep:a_b/fold:0"]
    assert (run.run_id, run.status, run.ended) == (made.run_id, "RUNNING", False)
    assert (run.params, run.metrics) == ({"lr": "0.001"}, {"uar": 0.1 + 0.2})


def test_more_runs_than_a_page_are_all_found(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracking.run_store.PAGE", 2)
    store = open_store()
    for number in range(5):
        store.create(f"sweep:k/fold:{number}", "fold", {}, now())
    assert len(open_store().load("sweep:k")) == 5


def test_a_run_deleted_by_hand_is_gone_for_us_too(open_store: Open, client: MlflowClient) -> None:
    run = open_store().create("sweep:k", "sweep", {}, now())
    client.delete_run(run.run_id)
    assert open_store().load("sweep:k") == {}


def test_a_changed_parameter_keeps_its_first_value_and_is_told(
    open_store: Open, caplog: pytest.LogCaptureFixture
) -> None:
    open_store().log(run := open_store().create("sweep:k", "sweep", {}, now()), params={"lr": 1, "depth": 2})
    caplog.set_level(logging.WARNING, "tracking")
    again = open_store().load("sweep:k")["sweep:k"]
    open_store().log(again, params={"lr": 3, "depth": 2, "new": 4})
    assert again.run_id == run.run_id
    assert open_store().load("sweep:k")["sweep:k"].params == {"lr": "1", "depth": "2", "new": "4"}
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.endswith("keeps its first value of: lr")


def test_a_value_over_mlflows_limit_is_cut_with_a_warning_and_kept_whole(
    open_store: Open, client: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "tracking")
    store = open_store()
    long = "x" * (PARAM_LIMIT + 1)
    run = store.create("sweep:k", "sweep", {"reason": "y" * (TAG_LIMIT + 1)}, now())
    store.log(run, params={"queries/list": long, "exact": "z" * PARAM_LIMIT})
    kept = client.get_run(run.run_id).data
    assert len(kept.params["queries/list"]) == PARAM_LIMIT
    assert kept.params["queries/list"].endswith("(cut)")
    assert kept.params["exact"] == "z" * PARAM_LIMIT
    assert len(kept.tags["reason"]) == TAG_LIMIT
    assert [file.path for file in client.list_artifacts(run.run_id, "long_values")] == [
        "long_values/queries_list.txt",
        "long_values/reason.txt",
    ]
    assert len(caplog.records) == 2
    caplog.clear()
    store.log(open_store().load("sweep:k")["sweep:k"], params={"queries/list": long})
    assert not caplog.records  # the same value again is no change


def test_artifacts_keep_their_folders_and_the_last_content(open_store: Open, client: MlflowClient) -> None:
    store = open_store()
    run = store.create("sweep:k", "sweep", {}, now())
    store.artifact(run, "report/report.md", b"first")
    store.artifact(run, "report/report.md", b"second")
    assert [file.file_size for file in client.list_artifacts(run.run_id, "report")] == [6]


def test_a_deleted_experiment_is_refused_with_the_way_back(open_store: Open, client: MlflowClient) -> None:
    client.delete_experiment(open_store().experiment_id)
    with pytest.raises(ValueError, match="was deleted: choose another name, or restore it"):
        open_store()


def test_a_server_that_does_not_answer_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"http://127\.0\.0\.1:9 cannot be used: .*refused"):
        RunStore("http://127.0.0.1:9", "experiment", None)


def test_a_local_database_without_a_place_for_artifacts_is_refused() -> None:
    with pytest.raises(ValueError, match="name the artifact_location"):
        RunStore("sqlite:////nowhere/mlflow.db", "experiment", None)


def test_a_key_that_mlflows_search_would_misread_is_refused(open_store: Open) -> None:
    with pytest.raises(ValueError, match="letters, digits"):
        open_store().load("sweep:it's")


def test_a_new_database_can_be_read_while_it_is_written(open_store: Open, client: MlflowClient) -> None:
    open_store()
    with closing(sqlite3.connect(str(make_url(client.tracking_uri).database))) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_metric_names_lose_what_mlflow_refuses() -> None:
    assert metric_name("très/heureux (strong)") == "très_heureux _strong_"
