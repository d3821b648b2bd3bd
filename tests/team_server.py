"""A team's MLflow server as deploy/mlflow describes it: PostgreSQL, an object store, MLflow's own authentication."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from tests.cluster_head import free_ports
from tests.postgres import start_postgres
from tracking.server import api_problem

DEPLOY = Path(__file__).parent.parent / "deploy" / "mlflow"
BUCKET = "mlflow"


@dataclass(frozen=True)
class Team:
    """Where the server answers, what it was told, and a client of its object store."""

    url: str
    environment: dict[str, str]
    objects: Any
    log: Path

    @property
    def account(self) -> dict[str, str]:
        """The administrator's, as fersweep is given it."""
        names = {"USERNAME": "MLFLOW_AUTH_ADMIN_USERNAME", "PASSWORD": "MLFLOW_AUTH_ADMIN_PASSWORD"}
        return {f"MLFLOW_TRACKING_{name}": self.environment[variable] for name, variable in names.items()}

    @property
    def secrets(self) -> list[str]:
        return [self.environment[name] for name in secret_names()]


def read_env(path: Path) -> dict[str, str]:
    """The variables of an env file."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def secret_names() -> list[str]:
    """The variables that the example leaves empty."""
    return [name for name, value in read_env(DEPLOY / "mlflow.env.example").items() if not value]


def unit_lines(key: str) -> list[str]:
    """What the systemd unit says under a key."""
    lines = (DEPLOY / "fersweep-mlflow.service").read_text().splitlines()
    return [line.split("=", 1)[1] for line in lines if line.startswith(f"{key}=")]


@contextmanager
def start_team_server(folder: Path) -> Iterator[Team]:
    """The command of the systemd unit with fresh secrets, on free ports of loopback, its services beside it."""
    subprocess.run([DEPLOY / "new-env", folder / "mlflow.env"], check=True, stdout=subprocess.DEVNULL)
    told = read_env(folder / "mlflow.env")
    told |= dict(item.split("=", 1) for line in unit_lines("Environment") for item in shlex.split(line))
    port, store_port = free_ports(2)
    with ExitStack() as stack:
        told |= stack.enter_context(start_postgres(told["PGPASSWORD"]))
        store = ThreadedMotoServer("127.0.0.1", store_port, verbose=False)
        store.start()
        stack.callback(store.stop)
        objects = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{store_port}",
            region_name="us-east-1",
            aws_access_key_id=told["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=told["AWS_SECRET_ACCESS_KEY"],
        )
        objects.create_bucket(Bucket=BUCKET)
        told |= {
            "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{store_port}",
            "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{port}",
            "MLFLOW_AUTH_CONFIG_PATH": str(DEPLOY / "basic_auth.ini"),
        }
        program, *arguments = shlex.split(unit_lines("ExecStart")[0].replace("--port 5000", f"--port {port}"))
        assert program.endswith("/bin/mlflow")
        log = folder / "server.log"
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *arguments],
            cwd=folder,
            env={**os.environ, **told},
            stdout=stack.enter_context(log.open("w")),
            stderr=subprocess.STDOUT,
        )
        stack.callback(_stop, server)
        _wait_for(f"http://127.0.0.1:{port}", server, log)
        yield Team(f"http://127.0.0.1:{port}", told, objects, log)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    while "user name" not in str(api_problem(url, timeout=5)):
        assert server.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.2)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    server.wait(30)
