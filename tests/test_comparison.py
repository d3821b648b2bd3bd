"""Comparisons of invented evaluations against differences counted by hand, and what must not be compared."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest

from distributed.comparison import compare, protocol_warnings
from distributed.errors import UserError
from distributed.intervals import holm, paired_difference
from distributed.scored_videos import ScoredVideos
from tests.scored_world import scored

BEST = scored([[True] * 4] * 6)
WORSE = scored([[True, True, False, False]] * 6)
WORST = scored([[False] * 4] * 3 + [[True, True, False, False]] * 3)


def test_every_pair_is_compared_and_the_p_values_are_corrected_together() -> None:
    found = compare({"best": BEST, "worse": WORSE, "worst": WORST}, score="war")
    assert [(one.first, one.second) for one in found] == [("best", "worse"), ("best", "worst"), ("worse", "worst")]
    assert [one.difference.value for one in found] == pytest.approx([0.5, 0.75, 0.25])
    assert [one.values for one in found] == [(1.0, 0.5), (1.0, 0.25), (0.5, 0.25)]
    # Of the 64 swaps of six actors, 2 move all of them to one side, and 16 the three that differ in the last pair.
    assert [one.p_value for one in found] == pytest.approx([2 / 64, 2 / 64, 16 / 64])
    assert [one.p_holm for one in found] == pytest.approx([6 / 64, 6 / 64, 16 / 64])
    assert [one.p_holm for one in found] == holm([one.p_value for one in found])
    assert astuple(found[0].difference) == pytest.approx((0.5, 0.5, 0.5))  # every actor shows the same difference
    # In the last pair three of six actors differ by one half: in a resample, k of 6 by a fair coin, k/6 of that.
    assert astuple(found[2].difference) == pytest.approx((3 / 12, 1 / 12, 5 / 12))


def test_only_common_videos_count_and_the_others_are_counted() -> None:
    part = BEST.only(range(2, 20))  # without two videos of p0 and the whole of p5
    other = WORSE.only(range(22))
    (found,) = compare({"a": part, "b": other}, score="uar")
    assert (found.num_videos, found.num_actors, found.left_out) == (18, 5, (0, 4))
    mine, its = BEST.only(range(2, 20)), WORSE.only(range(2, 20))
    direct = paired_difference(mine.true, mine.predicted, its.predicted, mine.actors, num_classes=2)
    assert (found.difference, found.p_value) == (direct.difference, direct.p_value)


def test_the_order_of_the_classes_does_not_matter() -> None:
    turned = replace(WORSE, label_names=("sad", "happy"), true=1 - WORSE.true, predicted=1 - WORSE.predicted)
    assert compare({"a": BEST, "b": turned}) == compare({"a": BEST, "b": WORSE})


def _named(*names: str) -> ScoredVideos:
    return replace(BEST, label_names=names)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            _named("happy", "angry"),
            r"a and b tell different classes apart \(sad in the first alone; angry in the second",
        ),
        (replace(BEST, video_ids=tuple(f"x{row}" for row in range(24))), "have 0 videos of 0 actors in common"),
        (BEST.only(range(8)), "have 8 videos of 2 actors in common, and a comparison needs 3 actors"),
        (replace(BEST, true=1 - BEST.true), "p0/v00 is happy in a and sad in b; evaluate both on the same labels"),
        (replace(BEST, actors=("p9",) * 12 + BEST.actors[12:]), "p0/v00 shows actor p0 in a and p9 in b"),
    ],
)
def test_what_was_not_asked_the_same_is_not_compared(other: ScoredVideos, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compare({"a": BEST, "b": other})
    with pytest.raises(UserError, match="at least two runs"):
        compare({"a": BEST})


def test_another_protocol_is_a_warning_that_names_both() -> None:
    runs = {"mine": BEST, "theirs": replace(WORSE, selection="paper")}
    (warning,) = protocol_warnings(runs)
    assert "different protocols (mine: nested, theirs: paper)" in warning
    assert protocol_warnings({"a": BEST, "b": WORSE}) == []
    assert np.isfinite(compare(runs)[0].p_value)
