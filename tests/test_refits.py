"""Configurations trained again in one pack: in their order, with their own seeds, failures told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distributed import refits
from distributed.prediction import predict_probabilities
from distributed.probe_results import ProbeSpec
from distributed.refits import Refit, refit_spec, score, train_and_predict
from distributed.search import derived_seed
from distributed.training import TrainingConfig
from search_spaces.family import build_probe
from tests.synthetic import synthetic_tokens

PARAMS: dict[str, Any] = {"family": "linear", "lr": 1e-2, "batch_size": 8, "linear.dropout": 0.1}
RECORD: dict[str, Any] = {"trial": 4, "family": "linear", "params": PARAMS}


def test_every_repeat_has_a_seed_of_its_own_and_the_first_one_that_of_a_single_refit() -> None:
    specs = [refit_spec(11, RECORD, repeat) for repeat in range(4)]
    assert len({spec.seed for spec in specs}) == 4
    assert specs[0] == ProbeSpec(4, "linear", PARAMS, derived_seed(11, "refit", 4))
    assert refit_spec(12, RECORD).seed != specs[0].seed
    assert refit_spec(11, {**RECORD, "trial": None}).trial == 0  # the fixed recipe


def test_results_come_in_the_order_asked_for_and_a_failed_one_has_no_probabilities(tmp_path: Path) -> None:
    tokens, folds = synthetic_tokens(tmp_path)
    wild = {**PARAMS, "lr": 1e38}
    specs = [ProbeSpec(0, "linear", PARAMS, 1), ProbeSpec(1, "linear", wild, 2), ProbeSpec(2, "linear", PARAMS, 3)]
    fold = folds[0]
    first, failed, last = train_and_predict(
        tokens, fold.train, fold.test, specs, TrainingConfig(epochs=3), seed=fold.index
    )
    assert isinstance(first, Refit) and isinstance(last, Refit) and not isinstance(failed, Refit)
    assert (first.spec.trial, failed.spec.trial, last.spec.trial) == (0, 1, 2)
    assert failed.state == "failed" and failed.reason is not None and "lower lr" in failed.reason
    rebuilt = build_probe("linear", PARAMS, dim=16, num_classes=3, seed=0)
    rebuilt.load_state_dict(last.result.state_dict)
    again = predict_probabilities(tokens.reader(0), fold.test, [rebuilt], device="cpu")[0]
    np.testing.assert_allclose(last.probabilities, again, atol=1e-6)


def test_probabilities_that_are_no_numbers_are_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, folds = synthetic_tokens(tmp_path)
    fold = folds[0]

    def odd(*_: Any, **__: Any) -> Any:
        said = torch.full((1, len(fold.test), 3), 1 / 3).numpy()
        said[0, 1] = np.nan
        return said

    monkeypatch.setattr(refits, "predict_probabilities", odd)
    spec = ProbeSpec(0, "linear", PARAMS, 1)
    (one,) = train_and_predict(tokens, fold.train, fold.test, [spec], TrainingConfig(epochs=1), seed=0)
    assert not isinstance(one, Refit) and one.reason == "its probabilities are not finite; try a lower lr"


def test_scores_count_the_rows_that_were_asked_about(tmp_path: Path) -> None:
    tokens, _ = synthetic_tokens(tmp_path)
    rows = np.array([0, 2, 4, 5])  # happy, neutral, sad, sad
    said = np.eye(3, dtype=np.float32)[[0, 0, 2, 1]]
    scores, confusion = score(tokens, rows, said)
    assert confusion.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]
    assert scores["war"] == 0.5 and scores["uar"] == pytest.approx((1 + 0 + 0.5) / 3)
