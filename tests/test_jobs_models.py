"""One probe, six ways to ask it: the same answer; and what is said of models that are not there."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet
from rich.console import Console

from distributed.errors import UserError
from distributed.exported import ExportedModel
from distributed.predictor import Predictor
from jobs.export import export
from jobs.models import is_reference, read_model, registry_at
from jobs.tracked import tracking_uris
from tests.finished_run import FinishedRun
from tracking.models import RegistryError
from tracking.server import free_port

QUIET = Console(quiet=True)
FOLD = 1


@contextmanager
def served(uri: str, **settings: str) -> Iterator[str]:
    """`mlflow models serve` on loopback, as a user starts it; its address once it answers."""
    port = free_port(5600)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/fersweep-csv@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # as in an activated environment
    names = {f"FERSWEEP_MODEL_{name.upper()}": value for name, value in settings.items()}
    environment = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true", **names}
    log = subprocess.PIPE
    server = subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
    )
    deadline = time.monotonic() + 120
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, server.communicate(timeout=10)[0]
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.communicate(timeout=30)


def asked(address: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/invocations", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: list[dict[str, Any]] = json.load(answer)["predictions"]
    return found


def predicted(model: ExportedModel, video: str) -> np.ndarray[Any, Any]:
    with Predictor(model.fold(FOLD).with_encoder()) as predictor:
        return np.asarray(predictor.predict(video))


def test_every_way_to_ask_a_model_gives_the_probabilities_of_its_evaluation(
    finished_run: FinishedRun, tmp_path: Path
) -> None:
    """A held-out clip by its fold's probe: from the experiment, a folder, the registry, pyfunc and a server."""
    written = parquet.read_table(io.BytesIO(finished_run.evaluation.read_bytes(f"fold-{FOLD}.parquet"))).to_pylist()[0]
    table = finished_run.manifest.table
    video = dict(zip(table["video_id"].to_pylist(), table["path"].to_pylist(), strict=True))[written["video_id"]]
    root = finished_run.experiment.parent / "videos"
    name, columns = str(Path(video).relative_to(root)), ["p_happy", "p_sad"]
    export(finished_run.context, tmp_path / "folder")
    uri, _ = tracking_uris(finished_run.context)
    experiment = predicted(read_model(finished_run.experiment, QUIET), video)
    np.testing.assert_allclose(experiment, [written[column] for column in columns], atol=1e-4)
    np.testing.assert_array_equal(predicted(read_model(tmp_path / "folder", QUIET), video), experiment)
    for reference in ("fersweep-csv", "models:/fersweep-csv@champion", "models:/fersweep-csv/1"):
        for place in (uri, str(finished_run.experiment), str(finished_run.workspace)):
            model = read_model(reference, QUIET, place)
        np.testing.assert_array_equal(predicted(model, video), experiment)

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        loaded = mlflow.pyfunc.load_model(
            "models:/fersweep-csv@champion", model_config={"fold": FOLD, "root": str(root)}
        )
    finally:
        mlflow.set_tracking_uri(before)
    for given in ([video], pd.DataFrame({"anything": [name]})):
        np.testing.assert_array_equal(loaded.predict(given)[columns].to_numpy()[0], experiment)

    with served(uri, root=str(root), fold=str(FOLD)) as address:
        rows = asked(address, {"inputs": [name, "/etc/passwd", "s3://bucket/a.mp4"]})
        # Its process computes with all threads, this one with one: sums may end in another last bit.
        np.testing.assert_allclose([rows[0][column] for column in columns], experiment, rtol=1e-6)
        assert [row["p_sad"] for row in rows[1:]] == [None, None]
        assert rows[1]["reason"] == "lies outside the folder that may be read"
        assert rows[2]["reason"].startswith("not a local file")
        (row,) = asked(address, {"dataframe_split": {"columns": ["video"], "data": [[name]]}})
        assert row == rows[0]


def test_what_is_a_file_or_folder_is_no_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [is_reference(text) for text in ("fersweep-csv", "fersweep-csv@champion", "models:/a/3")] == [True] * 3
    assert [is_reference(text) for text in ("gone.yaml", "a/b", "s3://bucket/model")] == [False] * 3
    (tmp_path / "fersweep-csv").mkdir()
    assert not is_reference("fersweep-csv")
    with pytest.raises(UserError, match="fersweep-csv: holds no model.json"):
        read_model("fersweep-csv", QUIET)


def test_the_registry_is_found_or_asked_for(
    finished_run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UserError, match=r"needs --tracking-uri: .*; MLFLOW_TRACKING_URI is not set and there is no"):
        read_model("fersweep-csv", QUIET)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "only").symlink_to(finished_run.workspace)
    assert registry_at(None, QUIET).resolve("fersweep-csv").number == "1"
    (tmp_path / "runs" / "other").symlink_to(finished_run.workspace)
    with pytest.raises(UserError, match="there are runs/only, runs/other"):
        registry_at(None, QUIET)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uris(finished_run.context)[0])
    with pytest.raises(UserError, match="--model fersweep-csv@best: fersweep-csv has no alias best; its versions: "):
        read_model("fersweep-csv@best", QUIET)
    with pytest.raises(UserError, match="no MLflow here"):
        registry_at(str(tmp_path), QUIET)
    with pytest.raises(RegistryError, match="cannot be used"):
        registry_at("http://127.0.0.1:9", QUIET)
