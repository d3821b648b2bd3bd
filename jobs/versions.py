"""Which code made a result."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

VERSION = "0.1.0"
# Written beside this file into what a cluster is sent, which is no clone of the repository.
COMMIT_FILE = "COMMIT"


def code_version() -> str:
    """The version and, where it is known, the commit; `+` marks uncommitted changes."""
    sent = Path(__file__).with_name(COMMIT_FILE)
    commit = sent.read_text(encoding="utf-8") if sent.exists() else described_commit()
    return f"{VERSION} ({commit})" if commit else VERSION


def described_commit() -> str:
    """The commit of the clone that this file lies in; nothing where there is no clone, or no git."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists() or shutil.which("git") is None:
        return ""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip()


def library_versions() -> dict[str, str]:
    """The versions of Python and of the libraries that a result depends on."""
    names = ("torch", "ray", "optuna", "mlflow", "pyarrow", "numpy", "opencv-python-headless")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def serving_requirements() -> list[str]:
    """What a model needs installed beside fersweep to predict, pinned to what is installed here.

    fersweep itself is left out: it is on no package index, and whoever takes its name there would be run.
    """
    names = ("torch", "numpy", "pandas", "pyarrow", "opencv-python-headless", "av", "pebble", "safetensors", "pydantic")
    pinned = []
    for name in ("mlflow", *names, "decord", "decord2", "transformers"):
        try:
            pinned.append(f"{name}=={version(name).partition('+')[0]}")
        except PackageNotFoundError:  # of decord and its fork a machine has one
            continue
    return pinned
