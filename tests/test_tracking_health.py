"""A real MLflow server takes a run and forgets it; what is no server is told."""

import pytest
from mlflow import MlflowClient

from tests.tracking_records import shared_workspace
from tracking.health import EXPERIMENT, write_problem
from tracking.runs import Tracker
from tracking.server import serve


def test_a_server_is_written_to_and_left_without_a_run(tmp_path_factory: pytest.TempPathFactory) -> None:
    uri, artifacts = shared_workspace(tmp_path_factory)
    Tracker(uri, "health", artifacts)  # a workspace's database is made before it is served
    with serve(uri, artifacts, 5700) as server:
        assert write_problem(server.url) is None
        assert write_problem(server.url) is None  # the experiment that is there is used again
        client = MlflowClient(server.url)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        assert experiment is not None and client.search_runs([experiment.experiment_id]) == []
        client.delete_experiment(experiment.experiment_id)
        problem = write_problem(server.url)
        assert problem is not None and "deleted" in problem


def test_where_nothing_answers_the_reason_is_given() -> None:
    assert "refused" in str(write_problem("http://127.0.0.1:1"))
