"""`fersweep dashboard`: MLflow, Optuna's and Ray's dashboards, on loopback; that Ctrl-C ends them: tests/served.py."""

from __future__ import annotations

import io
import json
import re
import urllib.request
from pathlib import Path

import pytest
from rich.console import Console

from distributed.errors import UserError
from jobs.dashboard import Asked, dashboard
from tests.cluster_head import Head
from tests.finished_run import FinishedRun, mlflow_runs
from tests.served import Served
from tests.small_road import finish
from tests.sockets import not_loopback


def test_mlflow_shows_every_run_of_the_workspace(served: Served, finished_run: FinishedRun) -> None:
    query = {"experiment_ids": re.findall(r"experiments/(\d+)", served.runs), "max_results": 1000}
    request = urllib.request.Request(
        f"{served.mlflow}/api/2.0/mlflow/runs/search", json.dumps(query).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        runs = json.load(answer)["runs"]
    keys = {tag["value"] for run in runs for tag in run["data"]["tags"] if tag["key"] == "fersweep.key"}
    assert keys == mlflow_runs(finished_run.workspace).keys()


def test_busy_ports_get_others_and_that_is_said(served: Served) -> None:
    for address, port in zip((served.mlflow, served.optuna), served.busy, strict=True):
        assert address.startswith("http://127.0.0.1:") and f":{port}" not in address
        assert f"port {port} is busy" in served.said


def test_dashboards_answer_this_machine_alone(served: Served) -> None:
    assert not_loopback([served.pid]) == set()


def test_a_desktop_is_shown_the_table_of_runs_and_the_studies(served: Served) -> None:
    assert served.shown == [served.runs, served.optuna]


def test_what_cannot_be_shown_is_refused_before_anything_starts(finished_run: FinishedRun, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{tmp_path}: no runs here .*; run an experiment first"):
        dashboard(tmp_path, Asked(), Console(quiet=True))
    with pytest.raises(UserError, match=f"{tmp_path}: no search here .*; run `fersweep sweep` first"):
        dashboard(tmp_path, Asked(optuna_port=8080), Console(quiet=True))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="the dashboard did not start: port 99999 is not a port number"):
        dashboard(finished_run.workspace, Asked(port=99999), Console(quiet=True))


def test_runs_on_a_server_are_shown_there_and_ray_beside_them(
    finished_run: FinishedRun, served: Served, head: Head
) -> None:
    moved = finished_run.experiment.with_name("moved.yaml")
    text = finished_run.experiment.read_text()
    moved.write_text(f"{text}tracking:\n  uri: {served.mlflow}\n")
    code, said = finish(head.fersweep("dashboard", moved, "--ray", "--no-browser"))
    assert code == 0 and f"MLflow answers at {served.mlflow}, where tracking.uri puts the runs" in said
    assert f"Ray's dashboard answers at {head.address}" in said
    file = io.StringIO()
    dashboard(moved, Asked(ray="http://127.0.0.1:9", browser=False), Console(file=file, width=200))
    assert (
        "no Ray answers at http://127.0.0.1:9; a run on this machine has it with cluster.dashboard" in file.getvalue()
    )
    moved.write_text(f"{text}tracking:\n  uri: http://127.0.0.1:9\n")
    with pytest.raises(
        UserError, match="tracking.uri: the MLflow server at http://127.0.0.1:9 cannot be used.*refused"
    ):
        dashboard(moved, Asked(browser=False), Console(quiet=True))
