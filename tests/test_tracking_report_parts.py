"""What a report is made of refuses scores that were chosen on their own test fold."""

from dataclasses import replace

import pytest

from tests.tracking_records import LABELS, sweep
from tracking.report_parts import ReportData

FOLDS, PROBES = sweep(folds=2, trials=16)
DATA = ReportData(
    title="A sweep", protocol="nested", dataset="ravdess", label_names=LABELS, fold_records=FOLDS, probe_records=PROBES
)


def test_guessing_is_one_of_the_classes_unless_it_is_given() -> None:
    assert DATA.guessing == 1 / 8
    assert replace(DATA, chance=0.2).guessing == 0.2


@pytest.mark.parametrize("selection", ["the test fold", None])
def test_a_record_that_was_chosen_on_its_test_fold_cannot_become_a_report(selection: str | None) -> None:
    chosen = {**FOLDS[1], "selection": selection}
    with pytest.raises(ValueError, match="fold 1: chosen by .*, so its scores are no test result"):
        replace(DATA, fold_records=[FOLDS[0], chosen])


def test_a_winner_that_the_inner_split_would_not_have_chosen_is_refused() -> None:
    """Whatever it calls itself: the search's own records tell."""
    complete = [p for p in PROBES if p["fold"] == 0 and p["state"] == "complete"]
    best = max(complete, key=lambda p: p["score"])
    other = min(complete, key=lambda p: p["score"])
    assert FOLDS[0]["trial"] == best["trial"] != other["trial"]
    swapped = {**FOLDS[0], "trial": other["trial"], "inner_score": other["score"]}
    with pytest.raises(ValueError, match=f"trial {best['trial']} has the better inner score.*no test result"):
        replace(DATA, fold_records=[swapped])
    fixed = {**FOLDS[0], "trial": None, "inner_score": None, "selection": "paper"}
    assert replace(DATA, fold_records=[fixed]).fold_records == [fixed]  # nothing was chosen
