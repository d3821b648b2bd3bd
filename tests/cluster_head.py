"""A real cluster of Ray on loopback, a head and two nodes, for the tests that submit jobs to one."""

from __future__ import annotations

import json
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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_PLACED = """
import json, sys
from ray.util.state import list_nodes, list_tasks
kinds = {node.node_id: next((kind for kind in ("decode", "GPU") if kind in node.resources_total), "head")
         for node in list_nodes(sys.argv[1])}
tasks = list_tasks(sys.argv[1], detail=True, limit=10_000, raise_on_missing_output=False)
print(json.dumps([(task.name, kinds[task.node_id]) for task in tasks if task.node_id]))
"""


@dataclass(frozen=True)
class Head:
    """A small cluster: its job server, the environment that holds its token, and the folder of all that it writes.

    Its nodes and jobs have `secrets` in their environment, which must not come out of it.
    """

    address: str
    environment: dict[str, str]
    secrets: dict[str, str]
    folder: Path

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "jobs", *map(str, arguments), "--address", self.address]

    def fersweep(self, *arguments: str | Path) -> subprocess.Popen[str]:
        command, output = self.command(*arguments), subprocess.PIPE
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, text=True, env=self.environment)

    def placed(self) -> dict[str, set[str]]:
        """The kinds of nodes (head, decode, GPU) that ran each task and each method of an actor, by its name."""
        command = [sys.executable, "-c", _PLACED, self.address]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
        found: dict[str, set[str]] = {}
        for name, kind in json.loads(done.stdout.splitlines()[-1]):
            found.setdefault(name, set()).add(kind)
        return found

    def leaks(self) -> list[str]:
        """The files of nodes, jobs, uploads and workspaces that hold a secret, or the token."""
        token = Path(self.environment["RAY_AUTH_TOKEN_PATH"])
        secrets = [secret.encode() for secret in (*self.secrets.values(), token.read_text())]
        files = [path for path in self.folder.rglob("*") if path.is_file() and path != token]
        assert len(files) > 100
        return [str(path) for path in files if any(secret in path.read_bytes() for secret in secrets)]


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
    """A small cluster on loopback alone, with a token of its own; ready once its job server answers.

    The head offers nothing to work, one node decodes, and one says that it has two GPUs.
    """
    folder = Path(tempfile.mkdtemp(prefix="head-", dir="/tmp"))  # Ray's socket paths must stay short
    token = folder / "token"
    token.write_text(uuid.uuid4().hex)
    gcs, dashboard, client, *agents = free_ports(6)
    secrets = {name: uuid.uuid4().hex for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "HF_TOKEN")}
    environment = {
        **os.environ,
        **secrets,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),  # where a submitted demo writes
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
    }
    environment.pop("RAY_ADDRESS", None)
    head = Head(f"http://127.0.0.1:{dashboard}", environment, secrets, folder)
    starts = [
        f"--head --port {gcs} --ray-client-server-port {client} --dashboard-host 127.0.0.1 --num-cpus 0 "
        f"--dashboard-port {dashboard} --temp-dir {folder}/head "
        "--labels=fersweep.nodes/decode=1x2cpu,fersweep.nodes/gpu=1x2cpu2gpu",
        f'--address 127.0.0.1:{gcs} --num-cpus 2 --resources={{"decode":1}} --temp-dir {folder}/decode',
        f"--address 127.0.0.1:{gcs} --num-cpus 2 --num-gpus 2 --temp-dir {folder}/gpu",
    ]
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        parts: list[psutil.Process] = []
        stack.callback(_end, parts)
        log = folder / "log"
        for start, agent in zip(starts, agents, strict=True):
            arguments = (
                f"{start} --node-ip-address 127.0.0.1 --dashboard-agent-listen-port {agent} --disable-usage-stats"
            )
            with log.open("ab") as said:
                command = ["ray", "start", "--block", *arguments.split()]
                parts.append(psutil.Popen(command, env=environment, stdout=said, stderr=said, start_new_session=True))
            _wait_until(lambda: answers(dashboard), parts, log)
        _wait_until(lambda: log.read_text().count("will now block") == len(starts), parts, log)
        yield head


def _wait_until(ready: Callable[[], bool], processes: list[psutil.Process], log: Path) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert all(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes), log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def _end(processes: list[psutil.Process]) -> None:
    """Asked to end, a node that blocks waits half a minute for its parts; nobody needs them any more."""
    parts = [*processes, *(part for process in processes for part in process.children(recursive=True))]
    for part in parts:
        with suppress(psutil.NoSuchProcess):
            part.kill()
    assert not psutil.wait_procs(parts, timeout=60)[1]
