"""The dashboard serves a workspace's runs on loopback until Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from rich.console import Console

from distributed.errors import UserError
from jobs.dashboard import dashboard
from tests.finished_run import FinishedRun, mlflow_runs


def press_ctrl_c_once_served(file: io.StringIO, heard: dict[str, str]) -> None:
    """Wait for the addresses, ask MLflow there for the runs of the experiment, then end it as a user would."""
    deadline = time.monotonic() + 180
    try:
        while "small: " not in file.getvalue() and time.monotonic() < deadline:
            time.sleep(0.05)
        url, page = re.findall(r"http://\S+", file.getvalue())
        heard["url"], heard["page"] = url, page
        query = {"experiment_ids": [re.findall(r"experiments/(\d+)", page)[0]], "max_results": 1000}
        request = urllib.request.Request(
            f"{url}/api/2.0/mlflow/runs/search",
            json.dumps(query).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            heard["runs"] = answer.read().decode()
    finally:
        os.kill(os.getpid(), signal.SIGINT)


def test_the_runs_of_a_workspace_are_served_until_ctrl_c(finished_run: FinishedRun) -> None:
    file, heard = io.StringIO(), dict[str, str]()
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        user = threading.Thread(target=press_ctrl_c_once_served, args=(file, heard))
        user.start()
        dashboard(finished_run.workspace, port, Console(file=file, width=200))
        user.join()
    text = file.getvalue()
    assert f"port {port} is busy" in text and text.endswith("stopped\n")
    assert heard["url"].startswith("http://127.0.0.1:")
    keys = {
        tag["value"]
        for run in json.loads(heard["runs"])["runs"]
        for tag in run["data"]["tags"]
        if tag["key"] == "fersweep.key"
    }
    assert keys == mlflow_runs(finished_run.workspace).keys()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(heard["url"], timeout=5)


def test_a_folder_without_runs_and_a_port_that_is_none_are_refused(finished_run: FinishedRun, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{tmp_path}: no runs here .*; run an experiment first"):
        dashboard(tmp_path, 5000, Console(quiet=True))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="the dashboard did not start: port 99999 is not a port number"):
        dashboard(finished_run.workspace, 99999, Console(quiet=True))
