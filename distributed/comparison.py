"""Which of several evaluations is better: pairwise differences on the videos that both have scored.

Differences are taken actor by actor (intervals.paired_difference) between the predictions of the winners' first
trainings, and the p-values of all pairs are corrected together by Holm's procedure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from distributed.errors import UserError
from distributed.intervals import MIN_ACTORS, Interval, Score, actor_confusions, holm, paired_difference, score_of
from distributed.scored_videos import ScoredVideos


@dataclass(frozen=True)
class Comparison:
    """Two evaluations by their names: their scores on the common videos, first minus second, and how sure.

    `left_out` counts the videos that only the first, and only the second, has scored.
    """

    first: str
    second: str
    score: str
    num_videos: int
    num_actors: int
    left_out: tuple[int, int]
    values: tuple[float, float]
    difference: Interval
    p_value: float
    p_holm: float


def compare(runs: Mapping[str, ScoredVideos], *, score: Score = "uar", seed: int = 0) -> list[Comparison]:
    """Every pair of `runs`, in their order.

    Raises:
        UserError: fewer than two runs, or two that do not fit: other classes, fewer than three common actors,
            or a common video whose class or actor is another one.
    """
    if len(runs) < 2:
        raise UserError("compare: there must be at least two runs; name another experiment or evaluation folder")
    pairs = [_pair(one, other, runs, score, seed) for one, other in combinations(runs, 2)]
    corrected = holm([pair.p_value for pair in pairs])
    return [replace(pair, p_holm=p) for pair, p in zip(pairs, corrected, strict=True)]


def protocol_warnings(runs: Mapping[str, ScoredVideos]) -> list[str]:
    """What makes a comparison less than one of probes alone, in words."""
    protocols = {name: run.selection for name, run in runs.items()}
    if len(set(protocols.values())) < 2:
        return []
    listed = ", ".join(f"{name}: {selection}" for name, selection in protocols.items())
    return [
        f"the runs were scored by different protocols ({listed}): a difference may come from the selection of the "
        "probe instead of from what you compare"
    ]


def _pair(first: str, second: str, runs: Mapping[str, ScoredVideos], score: Score, seed: int) -> Comparison:
    a, b = runs[first], _with_labels_of(runs[first], runs[second], f"{first} and {second}")
    common = sorted(set(a.video_ids) & set(b.video_ids))
    left_out = (len(a.video_ids) - len(common), len(b.video_ids) - len(common))
    a, b = _picked(a, common), _picked(b, common)
    actors = len(set(a.actors))
    if actors < MIN_ACTORS:
        raise UserError(
            f"compare: {first} and {second} have {len(common)} videos of {actors} actors in common, and a comparison "
            f"needs {MIN_ACTORS} actors; compare evaluations of the same dataset"
        )
    _check_same(first, second, a, b)
    found = paired_difference(
        a.true, a.predicted, b.predicted, a.actors, num_classes=a.num_classes, score=score, seed=seed
    )
    values = [score_of(actor_confusions(run.true, run.predicted, run.actors, run.num_classes), score) for run in (a, b)]
    return Comparison(
        first,
        second,
        score,
        len(common),
        actors,
        left_out,
        (values[0], values[1]),
        found.difference,
        found.p_value,
        found.p_value,
    )


def _with_labels_of(a: ScoredVideos, b: ScoredVideos, names: str) -> ScoredVideos:
    """`b` with its classes in the order of `a`'s."""
    only_a, only_b = set(a.label_names) - set(b.label_names), set(b.label_names) - set(a.label_names)
    if only_a or only_b:
        lists = "; ".join(
            f"{', '.join(sorted(only)) or 'none'} {where} alone"
            for only, where in ((only_a, "in the first"), (only_b, "in the second"))
        )
        raise UserError(f"compare: {names} tell different classes apart ({lists}); compare runs of the same classes")
    place = np.array([a.label_names.index(name) for name in b.label_names], np.int64)
    return replace(b, label_names=a.label_names, true=place[b.true], predicted=place[b.predicted])


def _picked(run: ScoredVideos, video_ids: list[str]) -> ScoredVideos:
    row_of = {video_id: row for row, video_id in enumerate(run.video_ids)}
    return run.only([row_of[video_id] for video_id in video_ids])


def _check_same(first: str, second: str, a: ScoredVideos, b: ScoredVideos) -> None:
    """A video must be of one class and one actor in both, or they were not asked the same."""
    for row, video_id in enumerate(a.video_ids):
        if a.true[row] != b.true[row]:
            both = f"{a.label_names[a.true[row]]} in {first} and {b.label_names[b.true[row]]} in {second}"
            raise UserError(f"compare: {video_id} is {both}; evaluate both on the same labels")
        if a.actors[row] != b.actors[row]:
            both = f"{a.actors[row]} in {first} and {b.actors[row]} in {second}"
            raise UserError(f"compare: {video_id} shows actor {both}; evaluate both on the same video list")
