"""`fersweep dashboard` as a user starts it, with a browser that only writes down what it is asked to show."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.finished_run import FinishedRun


@dataclass(frozen=True)
class Served:
    """Where the dashboards of the finished run answer, what the command said, and what it had shown."""

    mlflow: str
    runs: str
    optuna: str
    busy: tuple[int, int]
    pid: int
    _log: Path
    _shown: Path

    @property
    def said(self) -> str:
        return self._log.read_text()

    @property
    def shown(self) -> list[str]:
        return self._shown.read_text().splitlines()


@contextmanager
def serve_dashboards(run: FinishedRun, folder: Path) -> Iterator[Served]:
    """MLflow and Optuna's dashboard from ports that are busy; at the end Ctrl-C must end both."""
    log, shown, browser = folder / "said", folder / "shown", folder / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {shown}\n')
    browser.chmod(0o755)
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(2)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
        busy = listeners[0].getsockname()[1], listeners[1].getsockname()[1]
        ports = ["--port", str(busy[0]), "--optuna-port", str(busy[1])]
        process = subprocess.Popen(
            [sys.executable, "-m", "jobs", "dashboard", str(run.experiment), "--optuna", *ports],
            stdout=stack.enter_context(log.open("w")),
            stderr=subprocess.STDOUT,
            env={**_without_ssh(), "DISPLAY": ":99", "BROWSER": f"{browser} %s"},
        )
        stack.callback(process.kill)
        _wait_until(lambda: shown.exists() and len(shown.read_text().splitlines()) == 2, process, log)
        mlflow, runs, optuna = re.findall(r"http://[^\s;]+", log.read_text())
        yield Served(mlflow, runs, optuna, busy, process.pid, log, shown)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert log.read_text().endswith("stopped\n")
        for address in (mlflow, optuna):
            with pytest.raises(OSError, match="refused"):
                urllib.request.urlopen(address, timeout=5)


def _without_ssh() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "SSH_CONNECTION"}


def _wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
