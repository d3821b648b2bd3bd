"""A sweep as Optuna studies: the same numbers, parameters, ranges, scores and states; what ends later is added."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from distributed.search import SearchConfig, pack_name
from distributed.storage import Storage
from distributed.studies import SweepStudies, SweptFold

CONFIG = SearchConfig(families=("linear",), configurations=6, pack=2)
PARAMS = {
    "family": "linear",
    "lr": 1e-3,
    "weight_decay": 0.01,
    "batch_size": 8,
    "label_smoothing": 0.1,
    "warmup": 0.1,
    "linear.dropout": 0.25,
}


def record(trial: int, state: str, score: float | None) -> dict[str, object]:
    curves = [{"epoch": e, "train_loss": 1.0, "validation_uar": 0.1 * e} for e in (1, 2)]
    return {
        "trial": trial,
        "fold": 0,
        "pack": trial // 2,
        "family": "linear",
        "params": PARAMS,
        "state": state,
        "score": score,
        "epoch": 2,
        "reason": "the loss is not finite" if state == "failed" else None,
        "num_parameters": 130,
        "seconds": 3.0,
        "curves": curves if score is not None else [],
    }


def add_pack(fold: SweptFold, pack: int, *records: dict[str, object]) -> None:
    fold.packs.write_json(pack_name(pack), {"fold": 0, "pack": pack, "records": list(records)})


def test_a_study_holds_what_the_packs_hold_and_grows_with_them(tmp_path: Path) -> None:
    fold = SweptFold("small fold 0", Storage.at(tmp_path), CONFIG, dim=32)
    studies = SweepStudies([fold])
    (study,) = [optuna.load_study(study_name="small fold 0", storage=studies.storage)]
    studies.refresh()
    assert study.trials == [] and study.metric_names == ["inner validation UAR"]
    add_pack(fold, 0, record(0, "complete", 0.4), record(1, "pruned", 0.2))
    add_pack(fold, 2, record(4, "complete", 0.9), record(5, "complete", 0.8))
    studies.refresh()
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.PRUNED]
    add_pack(fold, 1, record(2, "failed", None), record(3, "complete", 0.7))
    for _ in range(2):  # again, to no effect
        studies.refresh()
    assert [trial.number for trial in study.trials] == list(range(6))
    assert study.best_trial.number == 4 and study.best_value == pytest.approx(0.9)
    first, failed = study.trials[0], study.trials[2]
    assert first.params == PARAMS
    assert first.intermediate_values == pytest.approx({1: 0.1, 2: 0.2})
    assert first.distributions["linear.dropout"] == FloatDistribution(0.0, 0.5)
    assert first.distributions["family"] == CategoricalDistribution(("linear",))
    assert first.duration == timedelta(seconds=3)
    assert failed.state == TrialState.FAIL and failed.user_attrs["reason"] == "the loss is not finite"
