"""A finished run's data, as MLflow is told of them."""

from mlflow import MlflowClient

from jobs.lineage import data_sources
from tests.finished_run import FOLDS, FinishedRun, mlflow_runs


def test_sources_say_what_they_are_and_where(finished_run: FinishedRun) -> None:
    manifest, store = finished_run.manifest, finished_run.store
    videos, tokens = data_sources(finished_run.context, manifest, store)
    assert videos.digest == manifest.content_hash
    assert videos.counts["videos"] == len(manifest.table) == sum(videos.counts["videos_of_class"].values())
    assert videos.columns.keys() == set(manifest.table.column_names)
    assert (tokens.source, tokens.counts["failures"]) == (store.storage.uri, 1)
    assert tokens.digest == store.storage.uri.rpartition("/")[2]  # what its folder is called


def test_the_runs_of_a_store_are_one_query(finished_run: FinishedRun) -> None:
    client = MlflowClient(f"sqlite:///{finished_run.workspace}/mlflow.db")
    experiment = client.get_experiment_by_name("small")
    key = finished_run.context.tokens_key(finished_run.store.header)
    found = client.search_runs([experiment.experiment_id], f"dataset.digest = '{key}'", max_results=1000)
    keys = {run.data.tags["fersweep.key"] for run in found}
    wanted = {finished_run.sweep_key, *(f"{finished_run.sweep_key}/fold:{fold}" for fold in range(FOLDS))}
    assert wanted <= keys
    tagged = client.search_runs([experiment.experiment_id], f"tags.store = '{key}'", max_results=1000)
    mine = [run for name, run in mlflow_runs(finished_run.workspace).items() if name.startswith(finished_run.sweep_key)]
    assert {run.info.run_id for run in mine} <= {run.info.run_id for run in tagged}
