"""`fersweep compare`: experiment files and folders of evaluations, against predictions changed by hand."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console

from distributed.errors import UserError
from distributed.intervals import Score
from distributed.scored_videos import read_scored
from distributed.storage import Storage
from jobs.compare import compare_runs
from jobs.show import Format
from tests.finished_run import FinishedRun
from tests.scored_world import write_evaluation


@dataclass(frozen=True)
class Said:
    """What a comparison wrote as its result, and beside it."""

    out: str
    warnings: str

    @property
    def rows(self) -> Any:
        return json.loads(self.out)


def compared(*runs: str | Path, score: Score = "war", form: Format = Format.JSON, figure: Path | None = None) -> Said:
    out, warnings = io.StringIO(), io.StringIO()
    consoles = [Console(file=file, width=200) for file in (out, warnings)]
    compare_runs([str(run) for run in runs], *consoles, score=score, form=form, figure=figure)
    return Said(out.getvalue(), warnings.getvalue())


@pytest.fixture
def wrong(finished_run: FinishedRun, tmp_path: Path) -> Path:
    """The finished run's evaluation with every happy video called sad, and without the last video."""
    scored = read_scored(finished_run.evaluation)
    changed = replace(scored, predicted=np.where(scored.true == 0, 1, scored.predicted))
    write_evaluation(Storage.at(tmp_path / "wrong"), changed.only(range(23)))
    return tmp_path / "wrong"


def test_an_experiment_and_a_folder_are_compared_on_their_common_videos(
    finished_run: FinishedRun, wrong: Path, tmp_path: Path
) -> None:
    common = read_scored(finished_run.evaluation).only(range(23))
    said = compared(finished_run.experiment, wrong)
    (row,) = said.rows
    assert (row["first"], row["second"], row["videos"], row["actors"]) == ("small", "wrong", 23, 6)
    assert (row["left out of first"], row["left out of second"]) == (1, 0)
    lost = int(((common.true == 0) & (common.predicted == 0)).sum()) / 23
    assert row["score of first"] == pytest.approx(np.mean(common.true == common.predicted))
    assert row["difference"] == pytest.approx(lost) == pytest.approx(row["score of first"] - row["score of second"])
    assert 0 < row["low"] <= row["difference"] <= row["high"]
    assert row["p"] == row["p by Holm"] >= 2 / 64  # six actors can change sides in 64 ways
    assert said.warnings == ""
    figure = tmp_path / "a" / "differences.png"
    text = compared(finished_run.experiment, wrong, form=Format.TABLE, figure=figure)
    assert "small − wrong" in text.out and "corrected for 1 pair by Holm's procedure" in text.out
    assert figure.read_bytes().startswith(b"\x89PNG") and str(figure) in text.warnings


def test_three_runs_are_three_pairs_and_equal_names_are_told_apart(
    finished_run: FinishedRun, wrong: Path, tmp_path: Path
) -> None:
    shutil.copytree(wrong, tmp_path / "b" / "wrong")
    rows = compared(finished_run.experiment, wrong, tmp_path / "b" / "wrong").rows
    names = [(row["first"], row["second"]) for row in rows]
    assert names == [("small", "wrong"), ("small", f"{tmp_path}/b/wrong"), ("wrong", f"{tmp_path}/b/wrong")]
    assert rows[2]["difference"] == 0 and rows[2]["p"] == 1
    assert rows[0]["p by Holm"] == pytest.approx(min(1, 3 * rows[0]["p"]))


def test_runs_may_be_given_names(finished_run: FinishedRun, wrong: Path, tmp_path: Path) -> None:
    (row,) = compared(f"tiny={finished_run.experiment}", f"all sad={wrong}").rows
    assert (row["first"], row["second"]) == ("tiny", "all sad")
    shutil.copytree(wrong, tmp_path / "lr=1")
    assert compared(finished_run.experiment, tmp_path / "lr=1").rows[0]["second"] == "lr=1"
    with pytest.raises(UserError, match="compare: tiny is there twice"):
        compared(f"tiny={finished_run.experiment}", f"tiny={wrong}")


def test_another_protocol_is_warned_of_beside_the_result(finished_run: FinishedRun, wrong: Path) -> None:
    for record in wrong.glob("*.json"):
        record.write_text(json.dumps({"selection": "paper"}))
    said = compared(finished_run.experiment, wrong)
    assert (
        "fersweep: WARNING: the runs were scored by different protocols (small: nested, wrong: paper)" in said.warnings
    )
    assert len(said.rows) == 1


def test_what_cannot_be_compared(finished_run: FinishedRun, wrong: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is there twice; name each run once"):
        compared(finished_run.experiment, finished_run.evaluation.uri)
    with pytest.raises(UserError, match="must be a file whose name ends in .png"):
        compared(finished_run.experiment, wrong, figure=tmp_path / "differences.pdf")
    with pytest.raises(UserError, match="no fold is evaluated there"):
        compared(finished_run.experiment, tmp_path)
    with pytest.raises(UserError, match="the experiment file cannot be read"):
        compared(finished_run.experiment, tmp_path / "none.yaml")
    settings = yaml.safe_load(finished_run.experiment.read_text())
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump({**settings, "name": "small", "training": {"epochs": 9}}))
    with pytest.raises(UserError, match=r"other\.yaml: fold 0 is not evaluated; run `fersweep evaluate .*other\.yaml`"):
        compared(finished_run.experiment, other)
