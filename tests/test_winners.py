"""A finished evaluation's probes load again and give the probabilities that were written down."""

from __future__ import annotations

import io

import numpy as np
import pytest
from pyarrow import parquet

from distributed.errors import UserError
from distributed.prediction import predict_probabilities
from distributed.storage import Storage
from distributed.winners import load_winner
from tests.finished_run import FOLDS, FinishedRun


def test_every_fold_predicts_what_its_evaluation_wrote(finished_run: FinishedRun) -> None:
    tokens, folds = finished_run.context.labelled(finished_run.manifest, finished_run.store)
    reader = tokens.reader(0)
    for fold in folds:
        winner = load_winner(finished_run.evaluation, fold.index, dim=reader.shape[1], num_classes=tokens.num_classes)
        written = parquet.read_table(io.BytesIO(finished_run.evaluation.read_bytes(f"fold-{fold.index}.parquet")))
        expected = np.stack([written[f"p_{name}"].to_numpy() for name in tokens.label_names], axis=1)
        actual = predict_probabilities(reader, fold.test, [winner.probe], device="cpu")[0]
        np.testing.assert_allclose(actual, expected, atol=1e-6)
        assert winner.record["fold"] == winner.fold == fold.index
        assert not winner.probe.training
    assert len(folds) == FOLDS


def test_a_fold_that_is_not_there_is_named(tmp_path: object) -> None:
    with pytest.raises(UserError, match="fold 3 is not evaluated; run `fersweep evaluate` first"):
        load_winner(Storage.at(str(tmp_path)), 3, dim=8, num_classes=2)
