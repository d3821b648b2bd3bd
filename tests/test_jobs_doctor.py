"""The doctor as a user meets it: a line per check, the fix beside what is wrong, and the exit code."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from jobs.doctor import doctor
from tests.finished_run import FinishedRun
from tests.small_road import write_experiment


def examine(experiment: Path | None, address: str | None = None) -> tuple[int, list[str]]:
    console = Console(file=io.StringIO(), width=200)
    code = doctor(experiment, address, console)
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue().splitlines()


@pytest.mark.usefixtures("shared_ray")
def test_a_run_that_works_has_no_error(finished_run: FinishedRun) -> None:
    code, lines = examine(finished_run.experiment)
    assert code == 0
    assert not any(line.startswith("  error") for line in lines)
    for name in ("fersweep", "machine", "device", "decoder", "videos", "workspace", "encoder", "ray"):
        assert any(f"  {name}: " in line for line in lines), name


@pytest.mark.usefixtures("shared_ray")
def test_every_place_that_is_wrong_is_named_with_its_fix(tmp_path: Path) -> None:
    experiment = write_experiment(
        tmp_path,
        tmp_path / "none",
        workspace=str(tmp_path / "tiny.safetensors" / "w"),
        tracking={"uri": "http://127.0.0.1:1"},
    )
    code, lines = examine(experiment, "http://127.0.0.1:2")
    errors = {line.split()[1]: line for line in lines if line.startswith("  error")}
    assert code == 1
    assert errors.keys() == {"videos:", "workspace:", "mlflow:", "jobs:"}
    assert f"{tmp_path}/none is not a folder; correct data.root" in errors["videos:"]
    assert "http://127.0.0.1:1" in errors["mlflow:"] and "tracking.uri" in errors["mlflow:"]
    assert "http://127.0.0.1:2" in errors["jobs:"]
