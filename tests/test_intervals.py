"""Intervals over actors against exhaustive counts, planted actors and simulated worlds."""

from __future__ import annotations

from dataclasses import astuple
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest

from distributed import metrics
from distributed.intervals import (
    MIN_ACTORS,
    SCORES,
    Interval,
    Score,
    actor_confusions,
    actor_interval,
    holm,
    paired_difference,
    recall_intervals,
    score_intervals,
    scores_of,
)

Ints = npt.NDArray[np.int64]


def two_by_four(actors: int, wrong: tuple[int, ...] = ()) -> tuple[Ints, Ints, list[str]]:
    """Four videos of each of two classes an actor, all right but for the actors that are always wrong."""
    true = np.tile(np.repeat([0, 1], 4), actors)
    who = np.repeat(np.arange(actors), 8)
    return true, np.where(np.isin(who, wrong), 1 - true, true), [f"p{actor}" for actor in who]


@pytest.mark.parametrize("score", SCORES)
def test_whoever_is_always_right_or_wrong_has_an_interval_without_width(score: Score) -> None:
    true, right, actors = two_by_four(5)
    assert actor_interval(true, right, actors, num_classes=2, score=score) == Interval(1, 1, 1)
    assert actor_interval(true, 1 - right, actors, num_classes=2, score=score) == Interval(0, 0, 0)


@pytest.mark.parametrize("score", SCORES)
def test_three_actors_of_whom_one_is_always_wrong_against_all_27_resamples(score: Score) -> None:
    true, predicted, actors = two_by_four(3, wrong=(1,))
    rows = [np.flatnonzero(np.array(actors) == f"p{actor}") for actor in range(3)]
    every = []
    for drawn in product(range(3), repeat=3):
        chosen = np.concatenate([rows[actor] for actor in drawn])
        every.append(metrics.scores(metrics.confusion_matrix(true[chosen], predicted[chosen], 2))[score])
    # 8 of 27 resamples hold no wrong actor, one holds him alone: the 2.5th percentile is 0, the 97.5th is 1,
    # and of the middle 80 % the bounds are 1/3 and 1.
    whole = actor_interval(true, predicted, actors, num_classes=2, score=score)
    assert astuple(whole) == pytest.approx((2 / 3, 0, 1))
    assert sorted(every)[0] == 0 and np.mean(np.array(every) == 1) == pytest.approx(8 / 27)
    middle = actor_interval(true, predicted, actors, num_classes=2, score=score, level=0.8)
    assert astuple(middle)[1:] == pytest.approx((1 / 3, 1))
    assert astuple(middle)[1:] == pytest.approx(np.quantile(every, [0.1, 0.9]))


def test_every_score_of_a_stack_equals_the_one_of_metrics() -> None:
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 3, (60, 4, 4))
    stack[:20, 2] = 0  # a class that the truth does not hold
    stack = stack[stack.sum(axis=(1, 2)) > 0]
    for score in SCORES:
        expected = [metrics.scores(one)[score] for one in stack]
        np.testing.assert_allclose(scores_of(stack.astype(float), score), expected, atol=1e-12)


def test_an_actors_matrix_holds_his_own_videos() -> None:
    true, predicted = np.array([0, 1, 1, 0]), np.array([0, 0, 1, 1])
    counts = actor_confusions(true, predicted, ["b", "a", "b", "a"], 2)
    assert counts.tolist() == [[[0, 1], [1, 0]], [[1, 0], [0, 1]]]


def world(rng: np.random.Generator, actors: int, videos: int, spread: float) -> tuple[Ints, Ints, list[str]]:
    """Actors of whom each is read with a chance of his own around one half, as happens with faces."""
    chance = np.clip(0.5 + spread * rng.standard_normal(actors), 0, 1)
    true = np.tile(np.arange(videos) % 2, actors)
    right = rng.random(actors * videos) < np.repeat(chance, videos)
    return true, np.where(right, true, 1 - true), [f"p{actor:02d}" for actor in range(actors) for _ in range(videos)]


def coverage(actors: int, videos: int, spread: float, *, by_video: bool = False) -> tuple[float, float]:
    """In how many of 300 worlds the interval holds the truth, one half, and how wide it is in the mean."""
    hits, widths = [], []
    for number in range(300):
        true, predicted, names = world(np.random.default_rng(number), actors, videos, spread)
        units = [str(video) for video in range(len(names))] if by_video else names
        found = actor_interval(true, predicted, units, num_classes=2, score="war", resamples=300, seed=number)
        hits.append(found.low <= 0.5 <= found.high)
        widths.append(found.high - found.low)
    return float(np.mean(hits)), float(np.mean(widths))


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    # Three standard errors of 300 repetitions are 0.038; the bootstrap of 24 actors is known to be a little narrow.
    assert 0.895 <= coverage(24, 12, 0.2)[0] <= 0.985


def test_drawing_videos_instead_of_actors_would_be_too_narrow_where_videos_of_an_actor_agree() -> None:
    by_actor, width = coverage(12, 20, 0.25)
    by_video, narrow = coverage(12, 20, 0.25, by_video=True)
    assert by_actor > 0.87
    assert by_video < 0.75
    assert narrow < 0.7 * width


def test_the_same_seed_gives_the_same_interval_whatever_the_order_of_the_videos() -> None:
    true, predicted, actors = world(np.random.default_rng(5), 9, 10, 0.2)
    order = np.random.default_rng(0).permutation(len(true))
    first = actor_interval(true, predicted, actors, num_classes=2)
    again = actor_interval(true[order], predicted[order], [actors[row] for row in order], num_classes=2)
    assert first == again
    assert first != actor_interval(true, predicted, actors, num_classes=2, resamples=100, seed=1)
    assert first.low < first.value < first.high


def test_of_fewer_than_three_actors_there_is_no_interval() -> None:
    true, predicted, actors = two_by_four(MIN_ACTORS - 1)
    assert score_intervals(true, [predicted], actors, num_classes=2) == {}
    true, predicted, actors = two_by_four(MIN_ACTORS, wrong=(0,))
    found = score_intervals(true, [predicted], actors, num_classes=2)
    assert found.keys() == {"uar", "war", "macro_f1"}
    assert found["war"] == actor_interval(true, predicted, actors, num_classes=2, score="war")


def test_of_several_trainings_the_mean_is_drawn_with_the_same_actors() -> None:
    true, right, actors = two_by_four(8)
    _, half, _ = two_by_four(8, wrong=(0, 1, 2, 3))
    _, rest, _ = two_by_four(8, wrong=(4, 5, 6, 7))
    one = score_intervals(true, [half], actors, num_classes=2)["war"]
    with_right = score_intervals(true, [half, right], actors, num_classes=2)["war"]
    assert astuple(with_right) == pytest.approx([(end + 1) / 2 for end in astuple(one)])
    # What one training gets wrong the other gets right, actor by actor: their mean is the same in every draw.
    assert astuple(score_intervals(true, [half, rest], actors, num_classes=2)["war"]) == pytest.approx((0.5, 0.5, 0.5))


def test_the_recall_of_a_class_is_drawn_from_the_actors_who_show_it() -> None:
    true, predicted, actors = two_by_four(6, wrong=(0, 1))
    shown = np.flatnonzero((true == 0) | np.isin(np.array(actors), ["p0", "p1", "p2", "p3"]))  # class 1: four actors
    true, predicted, actors = true[shown], predicted[shown], [actors[row] for row in shown]
    first, second, third = recall_intervals(true, predicted, actors, num_classes=3)
    assert first is not None and second is not None and third is None
    assert (first.value, second.value) == pytest.approx((4 / 6, 2 / 4))
    rows = np.flatnonzero(true == 1)
    alone = actor_interval(true[rows], predicted[rows], [actors[row] for row in rows], num_classes=3, score="war")
    assert second == alone
    few = recall_intervals(true[:16], predicted[:16], actors[:16], num_classes=2)
    assert few == [None, None], "two actors are too few"


def test_a_difference_equals_what_all_swaps_and_resamples_of_three_actors_give() -> None:
    true, worse, actors = two_by_four(3, wrong=(0, 1))
    _, better, _ = two_by_four(3)
    found = paired_difference(true, better, worse, actors, num_classes=2, score="war", level=0.8)
    # Actors 0 and 1 differ, by one third each: of the 8 swaps the 4 that move both to one side are as extreme.
    assert found.p_value == pytest.approx(4 / 8)
    # A resample's difference is the share of actors 0 and 1 in it, of which all 27 are counted.
    every = [sum(actor in (0, 1) for actor in drawn) / 3 for drawn in product(range(3), repeat=3)]
    assert found.difference.value == pytest.approx(2 / 3)
    assert astuple(found.difference)[1:] == pytest.approx(np.quantile(every, [0.1, 0.9]))
    assert astuple(found.difference)[1:] == pytest.approx((1 / 3, 1))
    back = paired_difference(true, worse, better, actors, num_classes=2, score="war")
    assert (back.difference.value, back.p_value) == pytest.approx((-2 / 3, found.p_value))


def test_a_difference_that_every_one_of_many_actors_shows_is_certain_and_none_is_not() -> None:
    true, right, actors = two_by_four(20)
    wrong = right.copy()
    wrong[::8] = 1 - wrong[::8]  # one video of every actor
    found = paired_difference(true, right, wrong, actors, num_classes=2, score="war")
    assert astuple(found.difference) == pytest.approx((1 / 8, 1 / 8, 1 / 8))
    assert found.p_value == pytest.approx(1 / 2001)  # 2^20 swaps are not tried: none of 2,000 is as extreme
    same = paired_difference(true, wrong, wrong, actors, num_classes=2)
    assert (same.difference, same.p_value) == (Interval(0, 0, 0), 1.0)


def test_where_nothing_differs_small_p_values_are_as_rare_as_they_should_be() -> None:
    small = 0
    for number in range(200):
        rng = np.random.default_rng(number)
        true, one, actors = world(rng, 14, 8, 0.2)
        other = np.where(rng.random(len(true)) < 0.3, 1 - one, one)
        swap = np.repeat(rng.random(14) < 0.5, 8)  # neither is better: an actor's two sides are dealt by a coin
        a, b = np.where(swap, other, one), np.where(swap, one, other)
        small += paired_difference(true, a, b, actors, num_classes=2, resamples=400, seed=number).p_value <= 0.05
    assert 0.01 <= small / 200 <= 0.10


def test_holm_on_a_known_table() -> None:
    # Holm's procedure by hand: 4 x 0.01, 3 x 0.02, 2 x 0.03 and 0.04, none below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.02]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    # 5 x 0.01, 4 x 0.02, 3 x 0.03, then 2 x 0.04 and 0.05, which must not fall below it; and never more than 1.
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2] and holm([]) == []


@pytest.mark.parametrize(
    ("true", "predicted", "actors"), [([0], [0, 1], ["a"]), ([], [], []), ([0, 2], [0, 1], ["a", "b"])]
)
def test_what_cannot_be_scored_is_refused(true: list[int], predicted: list[int], actors: list[str]) -> None:
    with pytest.raises(ValueError, match=r"one of each for every video|outside 0 to 1"):
        actor_interval(np.array(true, np.int64), np.array(predicted, np.int64), actors, num_classes=2)
