"""A team's MLflow server as deploy/mlflow describes it: PostgreSQL, an object store, MLflow's own authentication."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from tests.cluster_head import free_ports
from tests.postgres import run_program

DEPLOY = Path(__file__).parent.parent / "deploy" / "mlflow"
BUCKET = "mlflow"


@dataclass(frozen=True)
class Team:
    """Where the server answers, what it was told, a client of its object store, and its folder."""

    url: str
    environment: dict[str, str]
    objects: Any
    folder: Path

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
def start_team_server() -> Iterator[Team]:
    """`deploy/mlflow/on-head` with fresh secrets on a free port of loopback, an object store beside it."""
    port, store_port = free_ports(2)
    folder = Path(tempfile.mkdtemp(prefix="fersweep-team-"))  # where PostgreSQL's own user comes in too
    keys = {name: secrets.token_hex(24) for name in secret_names() if name.startswith("AWS_")}
    opens = {**keys, "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{store_port}"}  # as the role of a machine does
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        store = ThreadedMotoServer("127.0.0.1", store_port, verbose=False)
        store.start()
        stack.callback(store.stop)
        objects = boto3.client(
            "s3",
            endpoint_url=opens["MLFLOW_S3_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        )
        objects.create_bucket(Bucket=BUCKET)
        stack.callback(_stop, folder)
        started = start_on_head(folder, port, opens)
        assert started.returncode == 0, started.stderr
        told = read_env(folder / "mlflow.env")
        yield Team(f"http://127.0.0.1:{port}", told | opens, objects, folder)


def start_on_head(folder: Path, port: int, opens: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **opens, "HOME": str(folder / "home")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    command = [str(DEPLOY / "on-head"), f"s3://{BUCKET}/artifacts", str(folder), str(port)]
    # Not through pipes: the server that goes on would keep them open.
    with (folder / "said").open("w+") as said:
        done = subprocess.run(command, env=environment, stdout=said, stderr=said, check=False, timeout=240)
        said.seek(0)
        return subprocess.CompletedProcess(command, done.returncode, "", said.read())


def _stop(folder: Path) -> None:
    if (folder / "mlflow.pid").exists():
        os.killpg(int((folder / "mlflow.pid").read_text()), signal.SIGTERM)
    if (folder / "database" / "data").exists():
        run_program("pg_ctl", "-D", folder / "database" / "data", "-m", "immediate", "-w", "stop")
