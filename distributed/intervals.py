"""How sure a score is: intervals and differences over actors, the unit that was drawn from the world.

Videos of one actor resemble each other, so a bootstrap over videos would take one face for sixty independent
observations and give too narrow an interval. Here whole actors are drawn: the percentile bootstrap of Efron
and Tibshirani (1993) over clusters (Field and Welsh, 2007), from the actors' own confusion matrices. It tells
how far a score would move with other test actors of the same kind; the trained probes stay what they are.
With few actors it is somewhat too narrow: of 24 actors a 95 % interval holds the truth in about 93 % of cases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Score = Literal["uar", "war", "macro_f1"]
Classes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SCORES: tuple[Score, ...] = ("uar", "war", "macro_f1")
MIN_ACTORS = 3  # of fewer no interval is shown: their resamples are a handful of points
RESAMPLES, LEVEL = 2000, 0.95
_CLOSE = 1e-12  # equal differences are summed in different orders


@dataclass(frozen=True)
class Interval:
    """A score of all videos and the bounds of its interval over actors."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedDifference:
    """Score of `a` minus score of `b` with its interval, and the two-sided p-value of no difference."""

    difference: Interval
    p_value: float


def actor_interval(
    true: Classes,
    predicted: Classes,
    actors: Sequence[str],
    *,
    num_classes: int,
    score: Score = "uar",
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """The score of int64[n] predictions of int64[n] true classes, and its percentile interval over actors.

    A class that a resample does not hold is left out of the resample's mean, as in distributed/metrics.py.

    Raises:
        ValueError: the lists differ in length or are empty, or a class is outside 0 .. num_classes-1.
    """
    counts = actor_confusions(true, predicted, actors, num_classes)
    return _interval(score_of(counts, score), scores_of(_resampled(counts, resamples, seed), score), level)


def score_intervals(
    true: Classes, trainings: Sequence[Classes], actors: Sequence[str], *, num_classes: int, seed: int = 0
) -> dict[str, Interval]:
    """Every score, the mean over the trainings' int64[n] predictions, with its interval over actors.

    The same actors are drawn for all trainings. None of fewer than MIN_ACTORS actors.
    """
    if len(set(actors)) < MIN_ACTORS:
        return {}
    counts = [actor_confusions(true, predicted, actors, num_classes) for predicted in trainings]
    drawn = [_resampled(one, RESAMPLES, seed) for one in counts]
    found: dict[str, Interval] = {}
    for score in SCORES:
        value = float(np.mean([score_of(one, score) for one in counts]))
        found[score] = _interval(value, np.mean([scores_of(one, score) for one in drawn], axis=0), LEVEL)
    return found


def recall_intervals(
    true: Classes, predicted: Classes, actors: Sequence[str], *, num_classes: int, seed: int = 0
) -> list[Interval | None]:
    """The recall of every class with its interval over actors; None for a class that fewer than MIN_ACTORS show.

    Only the actors who show a class are drawn for it, so that it is in every resample.
    """
    counts = actor_confusions(true, predicted, actors, num_classes)
    found: list[Interval | None] = []
    for label in range(num_classes):
        alone = np.zeros_like(counts)
        alone[:, label] = counts[:, label]
        alone = alone[alone.sum(axis=(1, 2)) > 0]
        enough = len(alone) >= MIN_ACTORS
        found.append(
            _interval(score_of(alone, "war"), scores_of(_resampled(alone, RESAMPLES, seed), "war"), LEVEL)
            if enough
            else None
        )
    return found


def paired_difference(
    true: Classes,
    predicted_a: Classes,
    predicted_b: Classes,
    actors: Sequence[str],
    *,
    num_classes: int,
    score: Score = "uar",
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> PairedDifference:
    """How much better `a` is than `b` on the same videos: interval and p-value over actors.

    The interval draws actors, each with both predictions. The p-value is that of a permutation test: were the
    two equal, an actor's predictions might as well change sides. All 2^A swaps of A actors are tried where
    `resamples` allows, else that many random ones, of which the observed one counts as one more (Phipson and
    Smyth, 2010).

    Raises:
        ValueError: as `actor_interval`.
    """
    a = actor_confusions(true, predicted_a, actors, num_classes)
    b = actor_confusions(true, predicted_b, actors, num_classes)
    observed = score_of(a, score) - score_of(b, score)
    drawn = scores_of(_resampled(a, resamples, seed), score) - scores_of(_resampled(b, resamples, seed), score)
    swaps, exhaustive = _swaps(len(a), resamples, seed)
    stay = 1.0 - swaps
    swapped = scores_of(_weighted(stay, a) + _weighted(swaps, b), score)
    swapped = swapped - scores_of(_weighted(stay, b) + _weighted(swaps, a), score)
    extreme = int((np.abs(swapped) >= abs(observed) - _CLOSE).sum())
    p_value = extreme / len(swaps) if exhaustive else (extreme + 1) / (len(swaps) + 1)
    return PairedDifference(_interval(observed, drawn, level), p_value)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number (Holm, 1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def actor_confusions(true: Classes, predicted: Classes, actors: Sequence[str], num_classes: int) -> Floats:
    """The confusion matrix of every actor, float[A, C, C] (true by predicted), actors in alphabetical order."""
    if not len(true) or not len(true) == len(predicted) == len(actors):
        sizes = f"{len(true)} true classes, {len(predicted)} predicted ones and {len(actors)} actors"
        raise ValueError(f"there must be one of each for every video, and at least one video: {sizes}")
    both = np.concatenate([true, predicted])
    if both.min() < 0 or both.max() >= num_classes:
        raise ValueError(f"class numbers run from {both.min()} to {both.max()}, outside 0 to {num_classes - 1}")
    names, who = np.unique(np.asarray(actors, dtype=str), return_inverse=True)
    cells = (who * num_classes + true) * num_classes + predicted
    counts = np.bincount(cells, minlength=len(names) * num_classes**2)
    return counts.reshape(len(names), num_classes, num_classes).astype(np.float64)


def scores_of(confusions: Floats, score: Score) -> Floats:
    """The score of every matrix of float[R, C, C] (true by predicted, none of them empty): float[R]."""
    return _FORMULAS[score](confusions)


def score_of(counts: Floats, score: Score) -> float:
    """The score of all actors' videos together, from float[A, C, C]."""
    return float(scores_of(counts.sum(axis=0)[None], score)[0])


def _uar(confusions: Floats) -> Floats:
    return _mean_over_present(_hits(confusions), confusions.sum(axis=2), confusions.sum(axis=2))


def _war(confusions: Floats) -> Floats:
    return np.asarray(_hits(confusions).sum(axis=1) / confusions.sum(axis=(1, 2)))


def _macro_f1(confusions: Floats) -> Floats:
    support = confusions.sum(axis=2)
    return _mean_over_present(2 * _hits(confusions), support + confusions.sum(axis=1), support)


_FORMULAS: dict[str, Callable[[Floats], Floats]] = {"uar": _uar, "war": _war, "macro_f1": _macro_f1}


def _hits(confusions: Floats) -> Floats:
    return np.asarray(np.diagonal(confusions, axis1=1, axis2=2))


def _mean_over_present(numerators: Floats, divisors: Floats, support: Floats) -> Floats:
    """The mean of numerators / divisors, all float[R, C], over the classes with support: float[R]."""
    ratios = np.divide(numerators, divisors, out=np.zeros_like(numerators), where=support > 0)
    return np.asarray(ratios.sum(axis=1) / (support > 0).sum(axis=1))


def _resampled(counts: Floats, resamples: int, seed: int) -> Floats:
    """The confusion matrices of as many draws of actors, float[R, C, C], the same draws for the same A."""
    num = len(counts)
    draws = np.random.default_rng([seed, 0]).multinomial(num, np.full(num, 1 / num), size=resamples)
    return _weighted(draws.astype(np.float64), counts)


def _swaps(num_actors: int, resamples: int, seed: int) -> tuple[Floats, bool]:
    """Whose predictions change sides, float[R, A] of 0 and 1, and whether these are all the ways there are."""
    if 2**num_actors <= resamples:
        ways = np.arange(2**num_actors)[:, None] >> np.arange(num_actors) & 1
        return ways.astype(np.float64), True
    return np.random.default_rng([seed, 1]).integers(0, 2, (resamples, num_actors)).astype(np.float64), False


def _weighted(weights: Floats, counts: Floats) -> Floats:
    """Sums of the actors' matrices, float[R, A] by float[A, C, C]: float[R, C, C], exact as all are whole."""
    return np.asarray((weights @ counts.reshape(len(counts), -1)).reshape(len(weights), *counts.shape[1:]))


def _interval(value: float, drawn: Floats, level: float) -> Interval:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))
