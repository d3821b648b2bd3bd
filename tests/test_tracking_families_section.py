"""The families' means, what each fold chose, and those that could not be scored."""

from __future__ import annotations

from typing import Any

from tests.tracking_records import sweep
from tracking.families_section import families_sections, families_text, unscored

FOLDS, _ = sweep(folds=2, trials=8)


def family(name: str, trial: int, uar: float | None, tried: int = 4) -> dict[str, Any]:
    scores = None if uar is None else {"uar": uar, "war": uar + 0.1, "macro_f1": uar - 0.1}
    reason = "none of its 4 configurations was trained to the end" if uar is None else None
    return {"family": name, "trial": trial, "tried": tried, "inner_score": 0.5, "scores": scores, "reason": reason}


FULL: list[dict[str, Any]] = [
    {**FOLDS[0], "family": "mlp", "families": [family("mlp", 3, 0.4), family("linear", 1, 0.5, tried=8)]},
    {**FOLDS[1], "family": "linear", "families": [family("linear", 2, 0.6), family("mlp", 0, None)]},
]


def test_each_family_has_its_mean_over_the_folds_that_scored_it() -> None:
    (section,) = families_sections(FULL[::-1])
    means, each = section.tables
    assert [list(row) for row in means.rows] == [
        ["linear", "2", "1", "12", "55.0 ± 7.1", "65.0 ± 7.1", "45.0 ± 7.1"],
        ["mlp", "1", "1", "8", "40.0", "50.0", "30.0"],
    ]
    assert [row[:4] for row in each.rows] == [
        ["0", "mlp", "3", "50.0"],
        ["0", "linear", "1", "50.0"],
        ["1", "linear", "2", "50.0"],
    ]
    assert "tried in all folds: linear 12, mlp 8; a family with more of them had more chances" in section.texts[0]
    assert "remains that of the winners" in section.texts[1]
    assert section.texts[2].startswith("Mlp is not scored in fold 1 and is compared on the others alone: none of its 4")
    assert unscored(FULL) == [section.texts[2][0].lower() + section.texts[2][1:-1]]
    assert families_text(FULL) == section.texts[0]


def test_every_pair_stands_in_a_table_and_in_a_figure_or_the_reason_why_not() -> None:
    pair = {"first": "linear", "second": "mlp", "score": "uar", "num_videos": 24, "num_actors": 6, "left_out": (0, 3)}
    pair |= {"values": (0.55, 0.4), "difference": {"value": 0.15, "low": 0.05, "high": 0.25}}
    pair |= {"p_value": 0.0312, "p_holm": 0.0624}
    (section,) = families_sections(FULL, [pair])
    assert list(section.tables[1].rows[0]) == [
        *("linear − mlp", "55.0 − 40.0", "+15.0 (+5.0 to +25.0)", "0.0312", "0.0624", "24", "6", "0 and 3")
    ]
    assert section.figure is not None and "corrected for 1 pair by Holm" in section.texts[-1]
    assert any("linear − mlp" in text.get_text() for axes in section.figure().axes for text in axes.get_yticklabels())
    (without,) = families_sections(FULL, why_none="they share 2 actors")
    assert without.figure is None and len(without.tables) == 2
    assert without.texts[-1] == "Which differences are more than chance is not told: they share 2 actors."


def test_what_was_not_asked_for_has_no_section() -> None:
    assert families_sections(FOLDS) == families_sections([]) == []
    assert families_sections([FULL[0], FOLDS[1]]) == []
