"""Dots with intervals stand where their numbers say, in the order given."""

from __future__ import annotations

import pytest

from tracking.drawing import to_png, to_svg
from tracking.interval_figures import Dot, dots_with_intervals

GROUPS = {
    "sex": [Dot("male", 0.50, 0.40, 0.58, "40 videos"), Dot("female", 0.62, 0.55, 0.70)],
    "age": [Dot("20-29", 0.55, 0.45, 0.66)],
}


def test_every_row_has_its_dot_and_the_bar_of_its_interval() -> None:
    (axes,) = dots_with_intervals("Scores", GROUPS, (0.56, "all videos")).axes
    lines = [line.get_xydata().tolist() for line in axes.lines]  # type: ignore[union-attr]
    bars = [[x for x, _ in line] for line in lines if len(line) == 2]
    dots = [line[0][0] for line in lines if len(line) == 1]
    assert bars == [[0.40, 0.58], [0.55, 0.70], [0.45, 0.66], [0.56, 0.56]]
    assert dots == [0.50, 0.62, 0.55]
    rows = [line[0][1] for line in lines if len(line) == 1]
    assert rows == sorted(rows) and axes.get_ylim()[0] > rows[-1], "from top to bottom"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["male", "female", "20-29"]
    assert list(axes.get_yticks()) == pytest.approx(rows)
    texts = [text.get_text() for text in axes.texts]
    assert {"sex", "age", "40 videos", "all videos"} <= set(texts)


def test_the_line_of_reference_is_always_in_view() -> None:
    (axes,) = dots_with_intervals("Differences", {"": [Dot("a − b", 0.2, 0.1, 0.3)]}, (0.0, "no difference")).axes
    assert axes.get_xlim()[0] < 0 < 0.3 < axes.get_xlim()[1]


def test_a_figure_of_one_point_and_of_none_can_be_drawn_and_equal_ones_are_equal() -> None:
    point = {"all": [Dot("a name that is much too long to stand beside an axis", 1.0, 1.0, 1.0)]}
    assert to_png(dots_with_intervals("One", point)) == to_png(dots_with_intervals("One", point))
    assert "a name that is much too long to s…" in to_svg(dots_with_intervals("One", point))
    assert "nothing with an interval" in to_svg(dots_with_intervals("None", {"sex": []}))
