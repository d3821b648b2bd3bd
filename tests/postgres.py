"""The programs of Debian's PostgreSQL, for a database of the tests' own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest


def programs() -> Path:
    """The folder of initdb and pg_ctl; tests are skipped where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found:
        pytest.skip(
            "PostgreSQL is not installed, so MLflow on PostgreSQL is NOT TESTED here: run `make system` as root"
        )
    return found[-1].parent


def run_program(program: str, *arguments: str | Path) -> None:
    """One of PostgreSQL's programs, as its own user where the tests are root, whom it refuses."""
    as_whom = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    command = [*as_whom, str(programs() / program), *map(str, arguments)]
    done = subprocess.run(command, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{program} failed:\n{done.stdout}"
