"""A local MLflow server for a workspace: start it, wait until it answers, stop it with its parent.

The server runs as a child of a small supervisor (this file as a script) that holds the reading end of a pipe.
When this process ends, however it ends, the pipe closes and the supervisor stops the server.
"""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

HOST = "127.0.0.1"
API = "/api/2.0/mlflow/experiments/search"
QUERY = "?workflowType=machine_learning"
PORTS_TRIED = 50
_FILE = "~/.mlflow/credentials"
LOG_TAIL = 2000  # characters of the server's output in an error


class ServerError(RuntimeError):
    """The MLflow server did not start; the message holds the end of its output."""


@dataclass
class Server:
    """A running server at `url`. `moved` says that the wanted port was busy and `port` is another one."""

    url: str
    port: int
    moved: bool
    _supervisor: subprocess.Popen[bytes]
    _log: IO[bytes]

    def stop(self, timeout: float = 15.0) -> None:
        """Stop the server and free its port; a second call does nothing."""
        if self._supervisor.stdin is None or self._supervisor.stdin.closed:
            return
        self._supervisor.stdin.close()
        try:
            self._supervisor.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self._supervisor.pid, signal.SIGKILL)
            self._supervisor.wait()
        self._log.close()

    def pages(self) -> dict[str, str]:
        """Name -> address of the table of runs, for every experiment but MLflow's empty first one.

        The addresses skip MLflow's own first page, which shows traces of chats.
        """
        with urllib.request.urlopen(f"{self.url}{API}?max_results=1000", timeout=30) as answer:
            found = json.load(answer)["experiments"]
        return {
            experiment["name"]: f"{self.url}/#/experiments/{experiment['experiment_id']}/runs{QUERY}"
            for experiment in found
            if experiment["experiment_id"] != "0"
        }

    def wait(self) -> None:
        """Block until the server ends by itself."""
        self._supervisor.wait()

    def output(self) -> str:
        """The end of what the server has printed so far."""
        self._log.flush()
        return Path(self._log.name).read_text(errors="replace")[-LOG_TAIL:].strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(workspace_db_uri: str, artifacts: str, port: int = 5000, timeout: float = 180.0) -> Server:
    """Start `mlflow server` on this machine alone and return once its API answers.

    `workspace_db_uri` is the tracking database, `artifacts` the folder or URI of its files. A busy port moves
    on to the next free one, which the returned `url`, `port` and `moved` say. Raises ServerError with the
    server's own words when it ends early or does not answer within `timeout` seconds.
    """
    free = free_port(port)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", workspace_db_uri]
    command += ["--artifacts-destination", artifacts, "--host", HOST, "--port", str(free), "--workers", "1"]
    server = _start(command, free, moved=free != port)
    try:
        _wait_for_api(server, time.monotonic() + timeout)
    except BaseException:
        server.stop()
        raise
    return server


def free_port(wanted: int) -> int:
    """`wanted`, or the next higher port that nothing listens on; ValueError after 50 busy ones."""
    if not 0 < wanted < 65536:
        raise ValueError(f"port {wanted} is not a port number: choose one from 1 to 65535")
    for port in range(wanted, min(wanted + PORTS_TRIED, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port left a second ago is free
            try:
                probe.bind((HOST, port))
            except PermissionError as error:
                raise ValueError(f"port {port} may not be used ({error}): choose one above 1023") from error
            except OSError:
                continue
            return port
    raise ValueError(f"the ports {wanted} to {wanted + PORTS_TRIED - 1} are busy: choose another port")


def api_problem(url: str, timeout: float = 10.0) -> str | None:
    """None when an MLflow API answers at `url`, otherwise what is wrong in words.

    Asks the API itself, as the MLflow client would: /health says OK even where every real request is refused.
    """
    request = urllib.request.Request(f"{url.rstrip('/')}{API}?max_results=1")
    credentials = _authorization()
    if credentials is not None:
        request.add_unredirected_header("Authorization", credentials)  # for this host alone
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            kind = answer.headers.get_content_type()
            return None if kind == "application/json" else f"it answers {kind}, which is no MLflow API"
    except urllib.error.HTTPError as error:
        if error.code == 401:
            wants = "it asks for a user name and password" if credentials is None else "it refuses those that are set"
            return f"{wants}; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or put them into {_FILE}"
        hint = "; start the server with --allowed-hosts naming this host" if error.code == 403 else ""
        return f"it answers HTTP {error.code}{hint}"
    except OSError as error:  # URLError and time-outs among them
        return str(getattr(error, "reason", error))


def _authorization() -> str | None:
    """What MLflow's client would send: a token, or the user name and password of the environment or its file."""
    from mlflow.environment_variables import MLFLOW_TRACKING_TOKEN  # not where this file runs as a script
    from mlflow.utils.credentials import read_mlflow_creds

    known = read_mlflow_creds()
    if known.username and known.password:
        return f"Basic {base64.b64encode(f'{known.username}:{known.password}'.encode()).decode()}"
    token = MLFLOW_TRACKING_TOKEN.get()
    return f"Bearer {token}" if token else None


def _start(command: list[str], port: int, moved: bool) -> Server:
    # No home calls and no background jobs: the server shows runs, nothing else. Nor does it import what happens
    # to lie in the current folder.
    settings = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PYTHONSAFEPATH": "1",
    }
    log = tempfile.NamedTemporaryFile(prefix="fersweep-mlflow-", suffix=".log")  # noqa: SIM115 - closed by stop
    supervisor = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), *command],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **settings},
        start_new_session=True,  # Ctrl-C reaches this process alone, which then stops the server in order
    )
    return Server(f"http://{HOST}:{port}", port, moved, supervisor, log)


def _wait_for_api(server: Server, deadline: float) -> None:
    while (problem := api_problem(server.url, timeout=5)) is not None:
        if server._supervisor.poll() is not None:
            raise ServerError(f"the MLflow server at {server.url} ended at once:\n{server.output()}")
        if time.monotonic() > deadline:
            raise ServerError(f"the MLflow server at {server.url} does not answer ({problem}):\n{server.output()}")
        time.sleep(0.2)


def _stop_at_end_of_input(child: subprocess.Popen[bytes]) -> None:
    sys.stdin.buffer.read()
    child.terminate()
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(0, signal.SIGKILL)  # our own session: supervisor, server and its workers


def _supervise(command: list[str]) -> int:
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_stop_at_end_of_input, args=(child,), daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(_supervise(sys.argv[1:]))
