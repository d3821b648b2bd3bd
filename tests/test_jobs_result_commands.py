"""The commands on finished evaluations as they are typed: arguments reach the work, and mistakes are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from distributed.errors import UserError
from jobs.main import app
from tests.finished_run import FinishedRun


def call(*arguments: str | Path) -> str:
    """What a command writes to standard output; its errors are raised."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_slices_are_written_for_other_programs(finished_run: FinishedRun) -> None:
    rows = json.loads(call("slices", finished_run.experiment, "--by", "actor", "--format", "json"))
    assert {row["value"] for row in rows} == {f"p{actor}" for actor in range(6)}


def test_a_run_is_not_compared_with_nothing(finished_run: FinishedRun) -> None:
    with pytest.raises(UserError, match="at least two runs"):
        call("compare", finished_run.experiment)


def test_a_model_is_exported_and_an_overriden_experiment_without_scores_is_refused(
    finished_run: FinishedRun, tmp_path: Path
) -> None:
    call("export", finished_run.experiment, tmp_path / "model")
    assert (tmp_path / "model").is_dir()
    with pytest.raises(UserError, match="fersweep"):
        call("export", finished_run.experiment, tmp_path / "other", "training.epochs=7")


def test_wishes_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(UserError, match="--stride, --timeline and --annotate need --windows"):
        call("predict", tmp_path / "a.mp4", "--model", tmp_path, "--stride", "4")


def test_inspect_tells_video_ids_from_settings(finished_run: FinishedRun) -> None:
    with pytest.raises(UserError, match="serch: unknown key"):
        call("inspect", finished_run.experiment, "p0/happy-0", "serch.pack=3")
    with pytest.raises(UserError, match="nobody/nothing"):
        call("inspect", finished_run.experiment, "nobody/nothing")
