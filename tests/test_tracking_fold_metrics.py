"""A fold's numbers by their names, and none that an evaluation did not make."""

import math

import numpy as np
import pytest

from tests.tracking_records import LABELS, sweep, with_extras
from tracking.fold_metrics import fold_metrics, withdrawn

FOLDS, _ = sweep(folds=2, trials=8)


def test_a_plain_record_has_its_scores_and_recalls_alone() -> None:
    found = fold_metrics(FOLDS[0], LABELS)
    assert found["test_uar"] == FOLDS[0]["scores"]["uar"] and found["validation_uar"] == FOLDS[0]["inner_score"]
    assert found["test_recall_sad"] == FOLDS[0]["recall"]["sad"]
    assert len(found) == 3 + len(LABELS) + 2
    assert "validation_uar" not in fold_metrics({**FOLDS[0], "inner_score": None}, LABELS)


def test_repeats_ensemble_and_calibration_have_names_of_their_own() -> None:
    record = with_extras(FOLDS[0])
    found = fold_metrics(record, LABELS)
    assert found["test_uar"] == record["scores"]["uar"], "the ensemble took the winner's place"
    assert found["test_ensemble_uar"] == record["ensemble"]["scores"]["uar"]
    wars = [one["scores"]["war"] for one in record["repeats"]]
    assert found["test_war_repeat_std"] == pytest.approx(np.std(wars, ddof=1))
    assert (found["temperature"], found["test_ece"], found["test_ece_calibrated"]) == (1.8, 0.2, 0.02)
    assert (found["test_nll"], found["test_nll_calibrated"]) == pytest.approx((1.4, 1.22))


def test_a_winner_without_passes_has_names_of_its_own_where_it_could_be_trained() -> None:
    scores = {"uar": 0.5, "war": 0.6, "macro_f1": 0.4}
    found = fold_metrics({**FOLDS[0], "without_passes": {"scores": scores, "repeats": [], "reason": None}}, LABELS)
    assert found["test_without_passes_uar"] == 0.5 and found["test_uar"] == FOLDS[0]["scores"]["uar"]
    plain = fold_metrics({**FOLDS[0], "without_passes": {"scores": None, "repeats": [], "reason": "nan"}}, LABELS)
    assert plain == fold_metrics(FOLDS[0], LABELS)
    assert set(withdrawn(found, plain)) == {f"test_without_passes_{score}" for score in scores}


def test_what_an_evaluation_no_longer_has_is_withdrawn_and_nothing_else() -> None:
    rich, plain = fold_metrics(with_extras(FOLDS[0]), LABELS), fold_metrics(FOLDS[0], LABELS)
    gone = withdrawn(rich, plain)
    assert gone.keys() == rich.keys() - plain.keys() and all(math.isnan(value) for value in gone.values())
    assert withdrawn(rich | gone, plain) == {}, "it is withdrawn once"
    assert withdrawn(plain, {}) == withdrawn(rich, rich) == {}


def test_a_record_chosen_on_its_test_fold_has_no_metrics() -> None:
    with pytest.raises(ValueError, match="no test result"):
        fold_metrics({**FOLDS[0], "selection": "the test fold"}, LABELS)
