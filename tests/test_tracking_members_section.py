"""Noise of training told apart from the spread between actors, and an ensemble that stands beside the winner."""

from typing import Any

import numpy as np
import pytest

from tests.tracking_records import sweep, with_extras
from tracking.members_section import members_sections, repeats_figure, spread_of

FOLDS, _ = sweep(folds=3, trials=8)
RICH = [with_extras(fold) for fold in FOLDS]


def repeated(*folds: tuple[float, ...]) -> list[dict[str, Any]]:
    """Fold records whose trainings have these scores."""
    return [
        {
            "fold": number,
            "repeats": [
                {"seed": seed, "scores": dict.fromkeys(("uar", "war", "macro_f1"), v)} for seed, v in enumerate(values)
            ],
            "scores": dict.fromkeys(("uar", "war", "macro_f1"), float(np.mean(values))),
        }
        for number, values in enumerate(folds)
    ]


def test_variances_of_training_and_of_actors_are_told_apart() -> None:
    spread = spread_of(repeated((0.4, 0.6), (0.7, 0.9)), "uar")
    assert spread is not None
    # In each fold ±0.1 about the mean: variance 0.02. The means 0.5 and 0.8 have the variance 0.045, of which
    # half of 0.02 is training noise that two repeats leave.
    assert spread == pytest.approx((0.02**0.5, 0.045**0.5, 0.035**0.5))
    only_noise = spread_of(repeated((0.4, 0.6), (0.45, 0.65)), "uar")
    assert only_noise is not None and only_noise.actors == 0.0
    assert spread_of(repeated((0.4, 0.6)), "uar") is None
    assert spread_of(repeated((0.4,), (0.6,)), "uar") is None


@pytest.mark.parametrize(
    ("folds", "words"),
    [
        ([(0.50, 0.51), (0.80, 0.81)], "Most of the spread comes from who is tested"),
        ([(0.4, 0.6), (0.45, 0.65)], "Most of it comes from training itself"),
        ([(0.4, 0.6), (0.6, 0.8)], "Both matter"),
        ([(0.4, 0.6)], "With one fold nothing is known of the spread between actors"),
    ],
)
def test_the_words_follow_the_numbers(folds: list[tuple[float, ...]], words: str) -> None:
    (section,) = members_sections(repeated(*folds))
    assert words in section.texts[0]
    assert "trained 2 times with other seeds" in section.texts[0]


def test_what_was_not_asked_for_has_no_section() -> None:
    assert members_sections(FOLDS) == []
    once = [{**fold, "repeats": [{"seed": 1, "scores": fold["scores"]}]} for fold in FOLDS]
    assert members_sections(once) == []
    assert [section.title for section in members_sections(RICH)] == [
        "Training noise and actor noise",
        "An ensemble of the best configurations",
    ]


def test_every_training_has_its_row_and_its_dot() -> None:
    noise, _ = members_sections(RICH[::-1])
    summary, each = noise.tables
    assert [row[0] for row in summary.rows] == ["test UAR (%)", "test WAR (%)", "test macro F1 (%)"]
    assert each.folded and [row[0] for row in each.rows] == ["0"] * 3 + ["1"] * 3 + ["2"] * 3
    assert each.rows[4][2] == f"{100 * RICH[1]['repeats'][1]['scores']['uar']:.1f}"
    (axes,) = repeats_figure(RICH).axes
    drawn = np.concatenate([np.asarray(dots.get_offsets())[:, 0] for dots in axes.collections])
    assert sorted(drawn) == pytest.approx(sorted(one["scores"]["uar"] for fold in RICH for one in fold["repeats"]))


def test_the_ensemble_stands_beside_the_winner_with_its_notes() -> None:
    noted = [*RICH[:2], {**RICH[2], "ensemble": {**RICH[2]["ensemble"], "notes": ["only 2 were there"]}}]
    _, section = members_sections(noted)
    assert "3 best configurations" in section.texts[0] and "2.0 percentage points more" in section.texts[0]
    assert "which remain the result of this report" in section.texts[1]
    assert section.texts[2] == "Fold 2: only 2 were there."
    (table,) = section.tables
    assert [column.name for column in table.columns][2] == "ensemble: test UAR (%)"
    uar = RICH[0]["scores"]["uar"]
    assert table.rows[0][1] == f"{RICH[0]['trial']}, 1, 2"
    assert table.rows[0][2] == f"{100 * (uar + 0.02):.1f}" and table.rows[0][-1] == f"{100 * uar:.1f}"
