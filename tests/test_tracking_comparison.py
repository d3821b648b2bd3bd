"""A comparison as numbers, as words and drawn."""

from __future__ import annotations

from typing import Any

from tracking.comparison import differences_figure, explanation, numbers, words

PAIR: dict[str, Any] = {
    "first": "attentive",
    "second": "linear",
    "score": "uar",
    "num_videos": 1440,
    "num_actors": 24,
    "left_out": (0, 3),
    "values": (0.562, 0.53),
    "difference": {"value": 0.032, "low": -0.004, "high": 0.071},
    "p_value": 0.03125,
    "p_holm": 0.0625,
}


def test_a_pair_reads_like_a_sentence_and_keeps_its_numbers() -> None:
    assert words(PAIR) == {
        "runs": "attentive − linear",
        "UAR (%)": "56.2 − 53.0",
        "difference": "+3.2 (-0.4 to +7.1)",
        "p": "0.0312",
        "p by Holm": "0.0625",
        "videos": "1,440",
        "actors": "24",
        "left out": "0 and 3",
    }
    assert list(numbers(PAIR).values()) == [
        *("attentive", "linear", "uar", 1440, 24, 0, 3),
        *(0.562, 0.53, 0.032, -0.004, 0.071, 0.03125, 0.0625),
    ]
    assert "corrected for 1 pair by Holm" in explanation(1) and "3 pairs by Holm" in explanation(3)


def test_the_figure_has_a_row_a_pair_and_the_line_of_no_difference() -> None:
    (axes,) = differences_figure([PAIR, {**PAIR, "second": "mlp"}]).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["attentive − linear", "attentive − mlp"]
    assert axes.get_xlabel() == "difference in test UAR, with its 95 % interval over actors"
    assert "no difference" in [text.get_text() for text in axes.texts]
    assert "p 0.031, by Holm 0.062" in [text.get_text() for text in axes.texts]
