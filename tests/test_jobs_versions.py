"""Which code made a result, in a clone and outside one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import torch

import jobs.versions
from jobs.versions import COMMIT_FILE, VERSION, code_version, library_versions, serving_requirements


def copied(folder: Path) -> Path:
    """The room in a folder of its own."""
    (folder / "jobs").mkdir()
    source = Path(jobs.versions.__file__)
    shutil.copy(source, folder / "jobs" / source.name)
    return folder


def version_in(folder: Path) -> str:
    program = "import jobs.versions; print(jobs.versions.code_version())"
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True
    ).stdout[:-1]


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def test_a_clone_names_its_commit_and_whether_it_was_changed(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    git(folder, "init")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "first")
    clean = version_in(folder)
    assert re.fullmatch(rf"{re.escape(VERSION)} \([0-9a-f]{{12}}\)", clean)
    (folder / "jobs/versions.py").open("a").write("\n")
    assert version_in(folder) == clean.replace(")", "+)")


def test_outside_a_clone_the_version_stands_alone_or_with_the_commit_that_was_sent(tmp_path: Path) -> None:
    """A folder inside a clone of something else is no clone of ours."""
    git(tmp_path, "init")
    (tmp_path / "inner").mkdir()
    folder = copied(tmp_path / "inner")
    assert version_in(folder) == VERSION
    (folder / "jobs" / COMMIT_FILE).write_text("0123456789ab+")
    assert version_in(folder) == f"{VERSION} (0123456789ab+)"


def test_the_version_is_the_packages() -> None:
    """A cluster is sent folders, in which no package is installed; so the code states its version itself."""
    project = tomllib.loads(Path(jobs.versions.__file__).parent.parent.joinpath("pyproject.toml").read_text("utf-8"))
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "jobs.versions.VERSION"}
    assert code_version().startswith(VERSION)


def test_the_libraries_that_a_result_depends_on_are_named() -> None:
    versions = library_versions()
    assert versions["torch"] == torch.__version__
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert versions.keys() >= {"ray", "optuna", "mlflow", "pyarrow", "numpy"}


def test_a_models_requirements_are_pinned_as_an_index_knows_them() -> None:
    pins = dict(pin.split("==") for pin in serving_requirements())
    assert pins["torch"] == torch.__version__.partition("+")[0] and pins["mlflow"] and pins["pyarrow"]
    assert len(pins.keys() & {"decord", "decord2"}) == 1
    assert "fersweep" not in pins
