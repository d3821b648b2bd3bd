"""The whole road with its videos and its workspace behind an S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest

from distributed.scored_videos import read_scored
from distributed.token_store import TokenStore, read_ipc
from distributed.video_failures import as_metadata
from jobs.results import results_folder
from tests.finished_run import FinishedRun
from tests.s3_server import serve_s3
from tests.small_road import fersweep, finish, open_context
from tracking.runs import local_uris
from tracking.server import free_port, serve


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[str]:
    """A workspace in a bucket cannot hold MLflow's database."""
    server = serve(*local_uris(tmp_path), free_port(5700))
    yield server.url
    server.stop()


def shards_of(store: TokenStore) -> dict[str, bytes]:
    """The bytes of every shard as they would be if the files of the failed videos had the same times."""
    found = {}
    for name in store.shards.names():
        table, failures = read_ipc(store.shards, name)
        named = table.replace_schema_metadata(as_metadata([replace(failure, fingerprint="") for failure in failures]))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, named.schema) as writer:
            writer.write_table(named)
        found[name] = sink.getvalue().to_pybytes()
    return found


def test_videos_and_workspace_in_a_bucket_give_what_local_ones_give(
    finished_run: FinishedRun, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`fersweep run` with the finished run's videos and settings: the same tokens and the same predictions."""
    videos = Path(finished_run.context.experiment.data.root)
    table = Path(str(finished_run.context.experiment.data.table))
    with serve_s3() as server, TemporaryDirectory(dir="/tmp") as copies:  # Ray's socket paths must stay short
        monkeypatch.setenv("TMPDIR", copies)
        server.use(monkeypatch)
        for file in (table, *(file for file in videos.rglob("*") if file.is_file())):
            server.client.upload_file(str(file), server.bucket, str(file.relative_to(videos.parent)))
        overrides = [
            f"workspace=s3://{server.bucket}/ws",
            f"data.root=s3://{server.bucket}/{videos.name}",
            f"data.table=s3://{server.bucket}/{table.name}",
            f"tracking.uri={mlflow_server}",
            "cluster.num_cpus=2",
        ]
        code, output = finish(fersweep("run", finished_run.experiment, *overrides))
        assert code == 0, output
        assert f"report: s3://{server.bucket}/ws/" in output
        context = open_context(finished_run.experiment, *overrides)
        manifest = context.manifest()
        store = context.store(manifest)
        assert shards_of(store) == shards_of(finished_run.store)
        scored = read_scored(results_folder(context, manifest, store))
        assert any(name.endswith("report.html") for name in server.objects())
        assert [path for path in server.gets("/shards/") if path.endswith(".arrow")]
    here = finished_run.context
    expected = read_scored(results_folder(here, finished_run.manifest, finished_run.store))
    assert scored.video_ids == expected.video_ids and scored.label_names == expected.label_names
    assert scored.predicted.tolist() == expected.predicted.tolist() and scored.folds.tolist() == expected.folds.tolist()
