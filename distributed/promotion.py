"""Whether a model should take the champion's place: better on the same test videos, and by more than chance."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from distributed.comparison import Comparison, compare
from distributed.errors import UserError
from distributed.intervals import Score
from distributed.scored_videos import ScoredVideos

SIGNIFICANCE = 0.05
_NAMES = {"uar": "UAR", "war": "WAR", "macro_f1": "macro F1"}


@dataclass(frozen=True)
class Candidate:
    """A model by its name, the dataset that it was evaluated on, and its test predictions."""

    name: str
    dataset: str
    scored: ScoredVideos


@dataclass(frozen=True)
class Verdict:
    """Whether to promote and why, in words; without a comparison where the two cannot be compared."""

    promote: bool
    reason: str
    comparison: Comparison | None = None


def judge(
    challenger: Candidate, champion: Candidate, *, score: Score = "uar", significance: float = SIGNIFICANCE
) -> Verdict:
    """The challenger must have the better `score` on the same protocol, with a p-value of at most `significance`.

    The p-value is that of the paired permutation test over actors (intervals.paired_difference), two-sided.
    """
    if reason := difference_of_task(challenger, champion):
        return Verdict(False, reason)
    try:
        (pair,) = compare({challenger.name: challenger.scored, champion.name: champion.scored}, score=score)
    except UserError as error:  # other labels or actors of the same videos, or too few actors
        return Verdict(False, f"they cannot be compared: {error}")
    mine, its = (f"{100 * value:.1f}" for value in pair.values)
    told = f"test {_NAMES[score]} {mine} % against {its} %, p {pair.p_value:.4f} over {pair.num_actors} actors"
    if pair.difference.value <= 0:
        return Verdict(False, f"it is not better: {told}", pair)
    if pair.p_value > significance:
        return Verdict(False, f"it is better, but that may be chance: {told}{_floor(pair, significance)}", pair)
    return Verdict(True, f"it is better: {told}", pair)


def difference_of_task(challenger: Candidate, champion: Candidate) -> str:
    """Why the two scores do not answer the same question, or nothing."""
    one, other = challenger.scored, champion.scored
    if challenger.dataset != champion.dataset:
        return f"another dataset: {challenger.dataset} against {champion.dataset}"
    if one.selection != other.selection:
        return f"another protocol: evaluate.selection is {one.selection} against {other.selection}"
    if set(one.label_names) != set(other.label_names):
        return f"other classes: {', '.join(one.label_names)} against {', '.join(other.label_names)}"
    mine, its = set(one.video_ids), set(other.video_ids)
    if mine != its:
        actors = len(set(one.actors) ^ set(other.actors))
        also = f", and {actors} test actors are in one of them alone" if actors else ""
        return f"other test videos: {len(mine - its)} that the champion was not tested on, {len(its - mine)} less{also}"
    if _parts(one) != _parts(other):
        return "other folds: for the same test videos the two were trained on other actors"
    return ""


def _parts(scored: ScoredVideos) -> set[frozenset[str]]:
    """The folds as sets of videos, whatever their numbers."""
    parts = defaultdict(set)
    for video_id, fold in zip(scored.video_ids, scored.folds.tolist(), strict=True):
        parts[fold].add(video_id)
    return {frozenset(part) for part in parts.values()}


def _floor(pair: Comparison, significance: float) -> str:
    """A remark where so few actors could not have shown any difference."""
    least = 2 / 2**pair.num_actors
    return f" (with so few, p cannot be below {least:.4f})" if least > significance else ""
