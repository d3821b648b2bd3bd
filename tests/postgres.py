"""A PostgreSQL of the tests' own, on loopback and gone with its folder: Debian's package, never the one that runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster_head import free_ports

USER = "mlflow"


def programs() -> Path:
    """The folder of initdb and pg_ctl; tests are skipped where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found:
        pytest.skip(
            "PostgreSQL is not installed, so MLflow on PostgreSQL is NOT TESTED here: run `make system` as root"
        )
    return found[-1].parent


@contextmanager
def start_postgres(password: str) -> Iterator[dict[str, str]]:
    """The variables with which libpq reaches it; it runs as `postgres` where the tests are root, which it refuses."""
    folder, (port,) = Path(tempfile.mkdtemp(prefix="fersweep-postgres-")), free_ports(1)
    secret = folder / "password"
    secret.write_text(password)
    if os.geteuid() == 0:
        for path in (folder, secret):
            shutil.chown(path, "postgres", "postgres")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
    try:
        _postgres("initdb", "-D", folder / "data", "-U", USER, f"--pwfile={secret}", "--auth=scram-sha-256", "-N")
        _postgres("pg_ctl", "-D", folder / "data", "-o", options, "-l", folder / "log", "-w", "start")
        try:
            yield {
                "PGHOST": "127.0.0.1",
                "PGPORT": str(port),
                "PGUSER": USER,
                "PGPASSWORD": password,
                "PGDATABASE": "postgres",
            }
        finally:
            _postgres("pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def _postgres(program: str, *arguments: str | Path) -> None:
    as_whom = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    command = [*as_whom, str(programs() / program), *map(str, arguments)]
    done = subprocess.run(command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{program} failed:\n{done.stdout}"
