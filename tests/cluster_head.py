"""A real head node of Ray on loopback, for the tests that submit jobs to a cluster."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Head:
    """A head node: its job server, and the environment that holds its token."""

    address: str
    environment: dict[str, str]

    def fersweep(self, *arguments: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "jobs", *map(str, arguments), "--address", self.address]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment
        )


def answers(port: int) -> bool:
    """Whether the head's web server is there; without the token it says no more than that it wants one."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/version", timeout=5)
    except urllib.error.HTTPError as error:
        return error.code in (401, 403)
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@contextmanager
def start_head() -> Iterator[Head]:
    """`ray start --head` on loopback alone, with a token of its own; ready once its job server answers."""
    folder = Path(tempfile.mkdtemp(prefix="head-", dir="/tmp"))  # Ray's socket paths must stay short
    token = folder / "token"
    token.write_text(uuid.uuid4().hex)
    gcs, dashboard, client, agent = free_ports(4)
    binaries = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "HOME": str(folder),  # where a submitted demo writes
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
    }
    environment.pop("RAY_ADDRESS", None)
    start = f"""start --head --block --node-ip-address 127.0.0.1 --port {gcs} --ray-client-server-port {client}
        --dashboard-host 127.0.0.1 --dashboard-port {dashboard} --dashboard-agent-listen-port {agent} --num-cpus 2
        --disable-usage-stats --temp-dir {folder}/ray"""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [binaries / "ray", *start.split()], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        head = Head(f"http://127.0.0.1:{dashboard}", environment)
        deadline = time.monotonic() + 120
        while not answers(dashboard):
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.2)
        yield head
    finally:
        # Asked to end, a head that blocks waits half a minute for its parts; nobody needs them any more.
        parts = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for part in parts:
            with suppress(psutil.NoSuchProcess):
                part.kill()
        assert not psutil.wait_procs(parts, timeout=60)[1]
        shutil.rmtree(folder, ignore_errors=True)
