"""Which code made a result."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path


def code_version() -> str:
    """The package's version and, in a clone of its repository, the commit; `+` marks uncommitted changes."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    commit = described.stdout.strip()
    return f"{version('fersweep')} ({commit})" if described.returncode == 0 and commit else version("fersweep")


def library_versions() -> dict[str, str]:
    """The versions of Python and of the libraries that a result depends on."""
    names = ("torch", "ray", "optuna", "mlflow", "pyarrow", "numpy", "opencv-python-headless")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
