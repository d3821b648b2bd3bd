"""The interactive figures show the records' own numbers."""

import numpy as np
import pytest

from tests.tracking_records import LABELS, sweep, with_extras
from tracking import interactive
from tracking import records as rec

FOLDS, PROBES = sweep(3, 20)
FOLDS = [with_extras(fold) for fold in FOLDS]


def test_the_history_has_every_complete_configuration_of_every_fold() -> None:
    figure = interactive.optimisation_history(PROBES)
    assert figure is not None
    for fold in range(3):
        scores = [p["score"] for p in PROBES if p["fold"] == fold and p["state"] == "complete"]
        (dots,) = [trace for trace in figure.data if trace.name == f"fold {fold}"]
        (best,) = [trace for trace in figure.data if trace.name == f"fold {fold}, best so far"]
        assert sorted(dots.y) == sorted(scores)
        assert max(best.y) == max(scores)


def test_one_fold_alone_is_named_too() -> None:
    figure = interactive.optimisation_history([p for p in PROBES if p["fold"] == 0])
    assert figure is not None
    assert {"fold 0", "fold 0, best so far"} <= {trace.name for trace in figure.data}


def test_families_have_boxes_apart_for_pruned_configurations() -> None:
    figure = interactive.score_by_family(PROBES)
    assert figure is not None
    shown = {trace.name: sorted(trace.y) for trace in figure.data}
    for name, scores in shown.items():
        family, state = name.split(", ")
        assert scores == sorted(p["score"] for p in PROBES if (p["family"], p["state"]) == (family, state))
    assert sum(map(len, shown.values())) == len(rec.scored(PROBES))


def test_scores_of_folds_have_their_intervals() -> None:
    intervals = {0: {"uar": (0.5, 0.4, 0.7)}}
    figure = interactive.fold_scores([{**FOLDS[0], "scores": {"uar": 0.5, "war": 0.4, "macro_f1": 0.3}}], intervals)
    assert figure is not None
    uar = figure.data[0]
    assert (uar.y[0], uar.error_y.array[0], uar.error_y.arrayminus[0]) == pytest.approx((0.5, 0.2, 0.1))
    assert "selected on" in figure.data[-1].name


def test_the_confusion_counts_all_folds() -> None:
    figure = interactive.confusion(FOLDS, LABELS)
    assert figure is not None
    assert np.array_equal(figure.data[0].text, rec.total_confusion(FOLDS, len(LABELS)))


def test_curves_importances_slices_and_reliability_are_drawn() -> None:
    for figure in (
        interactive.learning_curves(PROBES, FOLDS),
        interactive.parameter_importances(PROBES),
        interactive.parallel_coordinates(PROBES),
        interactive.slices(PROBES),
        interactive.reliability(FOLDS),
    ):
        assert figure is not None
        assert any(len(trace.y) for trace in figure.data if trace.y is not None)


def test_without_records_there_is_no_figure() -> None:
    failed = [{**PROBES[0], "state": "failed", "score": None, "curves": []}]
    for draw in (interactive.optimisation_history, interactive.score_by_family, interactive.parameter_importances):
        assert draw(failed) is None
    for draw in (interactive.parallel_coordinates, interactive.slices):
        assert draw(failed) is None
    assert interactive.learning_curves(failed, []) is None
    assert interactive.fold_scores([], {}) is None
    assert interactive.confusion([], LABELS) is None
    assert interactive.reliability([{**FOLDS[0], "calibration": None}]) is None
