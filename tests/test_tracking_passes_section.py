"""The section on what augmented passes are worth: two rows and their paired difference, and what a reader may say."""

from __future__ import annotations

from typing import Any

import pytest

from tracking.passes_section import WITH, WITHOUT, passes_section
from tracking.records import SCORES

INTERVALS = {WITH: {"uar": (0.61, 0.5, 0.7)}, WITHOUT: {"uar": (0.55, 0.45, 0.66)}}


def fold(number: int, with_passes: float, without: float | None, repeats: int = 1) -> dict[str, Any]:
    scores = None if without is None else dict.fromkeys(SCORES, without)
    reason = "training loss is nan" if without is None else None
    return {
        "fold": number,
        "selection": "nested",
        "scores": dict.fromkeys(SCORES, with_passes),
        "repeats": [{}] * repeats,
        "without_passes": {"scores": scores, "repeats": [], "reason": reason},
    }


def pair(low: float, value: float, high: float, score: str = "uar") -> dict[str, Any]:
    difference = {"value": value, "low": low, "high": high}
    return {"score": score, "num_videos": 1440, "num_actors": 24, "difference": difference, "p_value": 0.0312}


FOLDS = [fold(1, 0.6, 0.5), fold(0, 0.7, 0.66)]


def test_both_stand_with_intervals_and_the_difference_beside_them() -> None:
    section = passes_section(FOLDS, INTERVALS, [pair(0.01, 0.06, 0.11)], "2 augmented passes")
    assert section is not None
    scores, each = section.tables
    assert [column.name for column in scores.columns][1:] == [WITH, WITHOUT, "difference, paired"]
    assert list(scores.rows[0])[1:] == ["65.0 ± 7.1", "58.0 ± 11.3", "+7.0 ± 4.2"]
    assert list(scores.rows[1])[1:] == ["61.0 (50.0 to 70.0)", "55.0 (45.0 to 66.0)", "+6.0 (+1.0 to +11.0)"]
    assert list(scores.rows[3])[1:] == ["–", "–", "–"] and len(scores.rows) == 6
    assert [list(row) for row in each.rows] == [["0", "70.0", "66.0"], ["1", "60.0", "50.0"]]
    for table in section.tables:
        assert {len(row) for row in [*table.rows, table.foot or table.rows[0]]} == {len(table.columns)}
    text = " ".join(section.texts)
    assert text.startswith("2 augmented passes") and "chosen for training with augmented passes" in text
    assert "+6.0 percentage points (95 % interval over 24 actors: +1.0 to +11.0; p 0.0312" in text


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (pair(0.01, 0.06, 0.11), "The passes help."),
        (pair(-0.09, -0.05, -0.01), "The passes harm."),
        (pair(-0.01, 0.02, 0.05), "cannot be told"),
    ],
)
def test_the_words_follow_the_interval(found: dict[str, Any], words: str) -> None:
    section = passes_section(FOLDS, INTERVALS, [found], "")
    assert section is not None and words in " ".join(section.texts)


def test_a_fold_that_failed_is_named_and_a_run_without_passes_has_no_section() -> None:
    section = passes_section([*FOLDS, fold(2, 0.5, None)], {}, [], "")
    assert section is not None
    assert section.texts[-1] == "Fold 2 could not be trained on the clean pass alone: training loss is nan."
    assert [row[0] for row in section.tables[1].rows] == ["0", "1"]
    alone = passes_section([fold(2, 0.5, None)], {}, [], "")
    assert alone is not None and alone.tables == []
    assert passes_section([{**FOLDS[0], "without_passes": None}], {}, [], "") is None


def test_a_fixed_recipe_was_not_chosen_and_repeats_are_said_to_be_left_out_of_pairs() -> None:
    paper = [{**fold(n, 0.6, 0.5, repeats=3), "selection": "paper"} for n in (0, 1)]
    section = passes_section(paper, INTERVALS, [pair(0.01, 0.06, 0.11)], "")
    assert section is not None
    text = " ".join(section.texts)
    assert "chosen for" not in text and "those of the first trainings" in text
