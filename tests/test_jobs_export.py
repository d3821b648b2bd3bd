"""`fersweep export` writes a folder that predicts what the experiment itself predicts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from distributed.errors import UserError
from distributed.predictor import Predictor
from jobs.export import Layout, experiment_model, export
from jobs.models import read_model
from tests.finished_run import FOLDS, FinishedRun, listen, said


def test_the_folder_predicts_what_the_experiment_predicts(finished_run: FinishedRun, tmp_path: Path) -> None:
    context = finished_run.context
    export(context, tmp_path / "model")
    assert "model, the probes of 2 folds; the encoder's weights stay apart: " in said(context)
    video = finished_run.manifest.table["path"][0].as_py()
    found = []
    for place in (tmp_path / "model", tmp_path / "model/model.json", finished_run.experiment):
        model = read_model(place, Console(quiet=True))
        assert [winner.fold for winner in model.winners] == list(range(FOLDS))
        with Predictor(model.with_encoder()) as predictor:
            found.append(np.asarray(predictor.predict(video)))
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[1], found[2])
    assert model.hashes["manifest"] == finished_run.manifest.content_hash


def test_an_experiment_without_scores_has_no_model(finished_run: FinishedRun) -> None:
    with pytest.raises(UserError, match="fold 0 is not evaluated; run `fersweep evaluate` first"):
        experiment_model(listen(finished_run.experiment, "seed=5"))


def test_probes_without_a_published_layout_are_not_exported_as_such(finished_run: FinishedRun, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="fold 0: probes of the family linear have no published layout"):
        export(finished_run.context, tmp_path / "published", Layout.REFERENCE)
    assert not (tmp_path / "published").exists()
