"""Who may take the champion's place: differences counted by hand, and tests that are not the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distributed.promotion import Candidate, difference_of_task, judge
from distributed.scored_videos import ScoredVideos
from tests.scored_world import scored

GOOD = scored([[True] * 4] * 6)
POOR = scored([[True, True, False, False]] * 6)
HARDLY = scored([[True, True, True, False]] * 2 + [[True, True, False, False]] * 4)


def one(name: str, videos: ScoredVideos, dataset: str = "drawn") -> Candidate:
    return Candidate(name, dataset, videos)


def test_the_better_one_of_many_actors_is_promoted_with_its_numbers() -> None:
    verdict = judge(one("b", GOOD), one("a", POOR), score="war")
    assert verdict.promote and verdict.comparison is not None
    assert verdict.comparison.p_value == pytest.approx(2 / 64)  # of 64 swaps, two move all six actors to one side
    assert verdict.reason == "it is better: test WAR 100.0 % against 50.0 %, p 0.0312 over 6 actors"


def test_a_difference_that_may_be_chance_is_not_enough() -> None:
    verdict = judge(one("b", HARDLY), one("a", POOR), score="war")
    # Two of six actors differ: their four ways to change sides, and two of them as extreme.
    assert verdict.comparison is not None and verdict.comparison.p_value == pytest.approx(2 / 4)
    assert not verdict.promote
    assert verdict.reason.startswith("it is better, but that may be chance: test WAR 58.3 % against 50.0 %, p 0.5000")
    assert judge(one("b", GOOD), one("a", POOR), significance=0.03).promote is False
    few = judge(one("b", GOOD.only(range(16))), one("a", POOR.only(range(16))), score="war")
    assert not few.promote and few.reason.endswith("(with so few, p cannot be below 0.1250)")


def test_the_worse_and_the_equal_one_are_not_better() -> None:
    assert judge(one("b", POOR), one("a", GOOD)).reason.startswith("it is not better: test UAR 50.0 % against 100.0 %")
    assert judge(one("b", GOOD), one("a", GOOD)).reason.startswith("it is not better")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (replace(GOOD, selection="paper"), "another protocol: evaluate.selection is paper against nested"),
        (replace(GOOD, label_names=("happy", "angry")), "other classes: happy, angry against happy, sad"),
        (
            GOOD.only(range(20)),
            "other test videos: 0 that the champion was not tested on, 4 less, and 1 test actors are in one of them",
        ),
        (GOOD.only(range(23)), "other test videos: 0 that the champion was not tested on, 1 less"),
        (replace(GOOD, folds=np.zeros(24, np.int64)), "other folds: for the same test videos the two were trained on"),
        (replace(GOOD, true=1 - GOOD.true), "they cannot be compared: compare: p0/v00 is sad in b and happy in a"),
    ],
)
def test_what_was_not_tested_the_same_is_refused_with_the_reason(changed: ScoredVideos, reason: str) -> None:
    verdict = judge(one("b", changed), one("a", POOR))
    assert not verdict.promote and verdict.reason.startswith(reason) and verdict.comparison is None


def test_another_dataset_is_refused_and_other_numbers_of_the_same_folds_are_not() -> None:
    assert difference_of_task(one("b", GOOD, "ravdess"), one("a", GOOD, "crema_d")) == (
        "another dataset: ravdess against crema_d"
    )
    assert difference_of_task(one("b", replace(GOOD, folds=7 - GOOD.folds)), one("a", POOR)) == ""
