"""What choosing on the test fold would claim: every configuration refitted as the winner is, and never a result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distributed.evaluation import EvaluateConfig, FoldEvaluation, refit_and_score, result_name
from distributed.optimism import SELECTION, of_the_winner, optimistic_packs, score_pack
from distributed.storage import Storage
from distributed.training import TrainingConfig
from tests.synthetic import synthetic_tokens


def configuration(trial: int, state: str = "complete", lr: float = 1e-2) -> dict[str, Any]:
    params = {"family": "linear", "lr": lr, "batch_size": 8, "linear.dropout": 0.1}
    return {"trial": trial, "family": "linear", "params": params, "score": 0.5 + trial / 100, "state": state}


def evaluation(folder: Path, winner: int, *, signal: float = 0.5, repeats: int = 1) -> FoldEvaluation:
    tokens, folds = synthetic_tokens(folder / "store", signal=signal, folds=3)
    return FoldEvaluation(
        fold=folds[0],
        winner=configuration(winner),
        tokens=tokens,
        training=TrainingConfig(epochs=3),
        config=EvaluateConfig(calibrate=False, repeats=repeats),
        seed=5,
        results=Storage.at(folder / "results"),
    )


def test_packs_hold_the_complete_configurations_that_did_not_win(tmp_path: Path) -> None:
    job = evaluation(tmp_path, 3)
    records = [configuration(trial, "pruned" if trial == 4 else "complete") for trial in (6, 5, 4, 3, 2, 1, 0)]
    packs = optimistic_packs(job, records, 2)
    assert [[record["trial"] for record in pack.configurations] for pack in packs] == [[0, 1], [2, 5], [6]]
    assert [pack.number for pack in packs] == [0, 1, 2] and not any(pack.done for pack in packs)
    assert optimistic_packs(job, [configuration(3)], 2) == []


def test_a_configuration_scores_as_if_it_had_won(tmp_path: Path) -> None:
    job = evaluation(tmp_path, 3)
    (pack,) = optimistic_packs(job, [configuration(1), configuration(2, lr=1e38), configuration(7)], 8)
    first, failed, last = score_pack(pack)
    for record in (first, last):
        as_winner = refit_and_score(replace(job, winner=configuration(record["trial"]))).record
        assert record["test_fold_scores"] == pytest.approx(as_winner["scores"])
        assert record["reason"] is None
    assert failed["test_fold_scores"] is None and "try a lower lr" in failed["reason"]
    assert [record["trial"] for record in (first, failed, last)] == [1, 2, 7]
    assert first["inner_score"] == 0.51


def test_a_record_cannot_be_taken_for_a_test_result(tmp_path: Path) -> None:
    (pack,) = optimistic_packs(evaluation(tmp_path, 0), [configuration(1)], 8)
    (record,) = score_pack(pack)
    assert "scores" not in record and "confusion" not in record
    assert record["selection"] == SELECTION == "the test fold"


def test_the_winner_counts_with_the_first_training_of_the_evaluation(tmp_path: Path) -> None:
    job = evaluation(tmp_path, 3, repeats=2)
    record = refit_and_score(job).record
    job.results.write_json(result_name(job.fold.index), record)
    mine = of_the_winner(job)
    assert mine["test_fold_scores"] == record["repeats"][0]["scores"]
    assert (mine["trial"], mine["selection"]) == (3, SELECTION)


def test_in_noise_the_best_by_its_own_test_score_claims_what_is_not_there(tmp_path: Path) -> None:
    """Nothing can be recognised, and the best of many still seems to do better than guessing."""
    job = evaluation(tmp_path, 99, signal=0.0)
    (pack,) = optimistic_packs(job, [configuration(trial, lr=10 ** (-4 + trial / 10)) for trial in range(40)], 40)
    scores = [record["test_fold_scores"]["uar"] for record in score_pack(pack)]
    assert abs(np.mean(scores) - 1 / 3) < 0.12
    assert max(scores) > np.mean(scores) + 0.1
