"""A real MLflow server: it shows the tracker's runs, takes new ones, stops, and never outlives its parent."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tracking_records import LABELS, fold_record, probe_record, shared_workspace
from tracking import server as server_module
from tracking.runs import Tracker
from tracking.server import Server, ServerError, api_problem, free_port, serve


@pytest.fixture(scope="module")
def busy_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, busy_port: int) -> Iterator[Server]:
    """One server for this file, asked to use a port that is busy."""
    uri, artifacts = shared_workspace(tmp_path_factory)
    tracker = Tracker(uri, "served", artifacts)
    tracker.sweep_run("k", "a sweep", {"trials": 1}, {}, {})
    tracker.finish("k")
    with serve(uri, artifacts, busy_port) as server:
        yield server


def _post(url: str, body: dict[str, object]) -> dict[str, list[dict[str, dict[str, str]]]]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, list[dict[str, dict[str, str]]]] = json.load(answer)
    return found


def _experiment(server: Server, name: str) -> str:
    return server.pages()[name].split("/experiments/")[1].split("/")[0]


def test_it_moves_on_from_a_busy_port_and_says_so(running: Server, busy_port: int) -> None:
    assert running.moved
    assert running.port > busy_port
    assert running.url == f"http://127.0.0.1:{running.port}"


def test_its_api_finds_the_runs_of_the_tracker(running: Server) -> None:
    body: dict[str, object] = {"experiment_ids": [_experiment(running, "served")]}
    (run,) = _post(f"{running.url}/api/2.0/mlflow/runs/search", body)["runs"]
    assert run["info"]["run_name"] == "a sweep"
    assert run["info"]["status"] == "FINISHED"


def test_a_tracker_can_write_through_it_without_printing(running: Server, capsys: pytest.CaptureFixture[str]) -> None:
    tracker = Tracker(running.url, "through the server")
    tracker.sweep_run("k", "sweep", {}, {}, {"experiment.yaml": "a: 1"})
    tracker.fold_run("k", 0, {}, {})
    probe = probe_record(0, 0)
    tracker.log_probe("k", probe)
    tracker.log_evaluation("k", fold_record(0, probe), LABELS)
    tracker.finish("k")
    body: dict[str, object] = {"experiment_ids": [tracker.experiment_id]}
    runs = _post(f"{running.url}/api/2.0/mlflow/runs/search", body)["runs"]
    assert len(runs) == 3
    assert capsys.readouterr().out == ""
    assert "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT" not in os.environ


def test_it_stops_and_frees_its_port(running: Server) -> None:
    running.stop()
    assert api_problem(running.url, timeout=2) is not None
    assert free_port(running.port) == running.port
    running.stop()  # again, to no effect


def test_a_server_that_cannot_start_shows_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"ended at once:[\s\S]*nonsense"):
        serve("nonsense://database", str(tmp_path), free_port(5600))


def test_a_page_that_is_no_mlflow_api_is_told_apart(tmp_path: Path) -> None:
    port = free_port(8650)
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "-d", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as other:
        _wait_until(lambda: "refused" not in str(api_problem(f"http://127.0.0.1:{port}")))
        assert "HTTP 404" in str(api_problem(f"http://127.0.0.1:{port}"))
        other.terminate()


def test_port_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="1 to 65535"):
        free_port(70000)


PARENT = """
import subprocess, sys
child = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"]
supervised = subprocess.Popen([sys.executable, sys.argv[1], *child], stdin=subprocess.PIPE, start_new_session=True)
supervised.wait()
"""


def test_what_is_supervised_dies_with_a_parent_that_is_killed() -> None:
    command = [sys.executable, "-c", PARENT, str(server_module.__file__)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert _alive(child)
        os.kill(parent.pid, signal.SIGKILL)
        _wait_until(lambda: not _alive(child))


def _alive(process: int) -> bool:
    """Whether the process runs; one that ended but was not waited for does not."""
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def _wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
