"""Which runs read a data set is one query."""

import json

import pytest
from mlflow import MlflowClient

from tests.tracking_records import probe_record, shared_workspace
from tracking.lineage import DIGEST_LIMIT, DataSource
from tracking.runs import Tracker


def _source(digest: str) -> DataSource:
    return DataSource("ravdess tokens", digest, "s3://bucket/tokens", "tokens", {"video_id": "string"}, {"videos": 24})


def test_one_search_finds_the_runs_of_a_store(tmp_path_factory: pytest.TempPathFactory) -> None:
    uri, artifacts = shared_workspace(tmp_path_factory)
    for _ in range(2):  # a second time nothing is doubled
        tracker = Tracker(uri, "lineage", artifacts)
        for key, digest in (("a", "1" * 64), ("b", "2" * 64)):
            tracker.sweep_run(key, key, {}, {"store": digest[:12]}, {}, [_source(digest)])
            tracker.fold_run(key, 0, {}, {}, [_source(digest)])
            tracker.log_probe(key, probe_record(0, 0))
    client = MlflowClient(uri)
    found = client.search_runs([tracker.experiment_id], f"dataset.digest = '{'1' * DIGEST_LIMIT}'")
    assert {run.data.tags["fersweep.key"] for run in found} == {"sweep:a", "sweep:a/fold:0"}
    (logged,) = found[0].inputs.dataset_inputs
    assert logged.dataset.name == "ravdess tokens"
    assert json.loads(logged.dataset.source) == {"uri": "s3://bucket/tokens"}
    assert json.loads(logged.dataset.profile) == {"videos": 24}
    assert json.loads(logged.dataset.schema)["mlflow_colspec"][0]["name"] == "video_id"
    assert [tag.value for tag in logged.tags] == ["tokens"]
    tagged = client.search_runs([tracker.experiment_id], f"tags.store = '{'1' * 12}'")
    assert len(tagged) == 3  # the configuration too
