"""The verdict on probabilities: its numbers by hand, its words by its numbers."""

from typing import Any

import numpy as np
import pytest

from tests.tracking_records import sweep, with_extras
from tracking.calibration_section import (
    TITLE,
    calibration_error,
    calibration_sections,
    chance_error,
    excess_error,
    pooled_bins,
    reliability_figure,
)

FOLDS, _ = sweep(folds=2, trials=8)
RICH = [with_extras(fold) for fold in FOLDS]


def bins(*filled: tuple[int, float | None, float | None]) -> list[dict[str, Any]]:
    width = 1 / len(filled)
    return [
        {"low": i * width, "high": (i + 1) * width, "count": count, "confidence": confidence, "accuracy": accuracy}
        for i, (count, confidence, accuracy) in enumerate(filled)
    ]


def fold(number: int, before: list[dict[str, Any]], after: list[dict[str, Any]], temperature: float = 1.5) -> Any:
    return {
        "fold": number,
        "calibration": {
            "temperature": temperature,
            "num_inner": 30,
            "ece": {"before": 0.3, "after": 0.1},
            "nll": {"before": 1.5, "after": 1.25},
            "bins": {"before": before, "after": after},
        },
    }


def test_bins_of_several_folds_count_every_video_once() -> None:
    one, other = bins((0, None, None), (10, 0.8, 0.6)), bins((4, 0.4, 0.25), (30, 0.9, 0.7))
    low, high = pooled_bins([fold(0, one, one), fold(1, other, other)], "before")
    assert (low["count"], low["confidence"], low["accuracy"]) == (4, 0.4, 0.25)
    assert (high["count"], high["confidence"], high["accuracy"]) == pytest.approx((40, 0.875, 0.675))
    assert calibration_error([low, high]) == pytest.approx((4 * 0.15 + 40 * 0.2) / 44)


def test_the_error_of_perfect_probabilities_is_that_of_drawn_answers() -> None:
    """Against a simulation: answers drawn with exactly the probability that they claim."""
    rng = np.random.default_rng(3)
    made = bins((60, 0.45, 0.0), (150, 0.8, 0.0))
    drawn = [
        calibration_error(
            [{**item, "accuracy": rng.binomial(item["count"], item["confidence"]) / item["count"]} for item in made]
        )
        for _ in range(4000)
    ]
    assert chance_error(made) == pytest.approx(np.mean(drawn), rel=0.03)


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [
        (0.79, "Yes, as far as"),
        (0.73, "Roughly; the probe is a little surer"),
        (0.5, "No; the probe is surer than it is"),
    ],
)
def test_the_verdict_follows_the_error_above_chance(accuracy: float, words: str) -> None:
    (section,) = calibration_sections(
        [fold(0, bins((0, None, None), (2000, 0.8, accuracy)), bins((0, None, None), (2000, 0.8, 0.8)))]
    )
    assert section.title == TITLE and section.texts[0].startswith(words)
    assert f"{100 * (0.8 - accuracy):.1f} %; perfect probabilities would show 0.7 %" in section.texts[0]
    assert "falls to 0.0 %" in section.texts[1] and "read as they are" in section.texts[1]


def test_folds_that_are_wrong_in_opposite_ways_do_not_make_each_other_right() -> None:
    sure, unsure = bins((0, None, None), (1000, 0.8, 0.6)), bins((0, None, None), (1000, 0.8, 1.0))
    both = [fold(0, sure, sure), fold(1, unsure, unsure)]
    assert calibration_error(pooled_bins(both, "before")) == pytest.approx(0.0)
    assert excess_error(both, "before") == pytest.approx(0.2 - chance_error(sure))
    assert calibration_sections(both)[0].texts[0].startswith("No; ")


def test_a_temperature_that_does_not_help_or_lies_at_its_end_is_named() -> None:
    good, bad = bins((0, None, None), (500, 0.8, 0.7)), bins((0, None, None), (500, 0.8, 0.5))
    (section,) = calibration_sections([fold(0, good, bad), fold(1, good, bad, temperature=0.05)])
    assert "does not fall: it is 30.0 %. Even with it they should be read as a ranking" in section.texts[1]
    assert "(0.05 to 1.50;" in section.texts[1]
    assert section.texts[2].startswith("Fold 1: the temperature lies at the end of its range")


def test_folds_without_calibration_have_no_section_and_tables_are_folded() -> None:
    assert calibration_sections(FOLDS) == []
    (section,) = calibration_sections([FOLDS[0], RICH[1]])
    folds, by_bin = section.tables
    assert folds.folded and by_bin.folded
    assert [row[:3] for row in folds.rows] == [["1", "48", "1.80"]]
    assert sum(int(row[1]) for row in by_bin.rows) == RICH[1]["num_test"]


def test_the_diagram_has_a_dot_per_bin_at_what_is_claimed_and_what_is_true() -> None:
    for axes, when in zip(reliability_figure(RICH).axes, ("before", "after"), strict=True):
        filled = [item for item in pooled_bins(RICH, when) if item["count"]]
        dots = np.concatenate([np.asarray(dot.get_offsets()) for dot in axes.collections])
        np.testing.assert_allclose(dots, [(item["confidence"], item["accuracy"]) for item in filled])
