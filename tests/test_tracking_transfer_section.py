"""The section on another dataset: both variants by name, and what was left out or may be too good."""

from typing import Any

from tracking.transfer_section import transfer_metrics, transfer_section, transfer_summary


def fold(number: int, uar: float) -> dict[str, Any]:
    def variant(value: float) -> dict[str, Any]:
        return {
            "scores": {"uar": value, "war": value / 2, "macro_f1": value / 4},
            "recall": {"happy": value, "neutral": None},
        }

    return {"fold": number, "num_test": 90, "num_left_out": 10, "open": variant(uar), "masked": variant(uar + 0.2)}


FOUND: dict[str, Any] = {
    "target": "crema d!",
    "dataset": "crema-d",
    "setting": {"calm": "neutral", "classes": None},
    "classes": {"happy": "happy", "neutral": "neutral", "calm": "neutral", "surprised": None},
    "target_classes": {"happy": "happy", "neutral": "neutral", "quiet": "neutral", "sad": None},
    "label_names": ["happy", "neutral"],
    "shared_actors": [],
    "folds": [fold(0, 0.4), fold(1, 0.6)],
}


def test_metrics_are_named_after_the_target_and_the_variant() -> None:
    found = transfer_metrics(FOUND)
    assert len(found) == 6
    assert found["transfer_crema d__open_uar_mean"] == 0.5
    assert round(found["transfer_crema d__masked_war_mean"], 6) == 0.35


def test_the_summary_says_how_classes_count_and_what_is_left_out() -> None:
    lines = transfer_summary(FOUND)
    assert lines[:5] == [
        "transfer to crema d!: 90 videos scored by each of 2 winners",
        "  of the probe's classes count calm as neutral",
        "  of the target's classes count quiet as neutral",
        "  the target lacks the probe's surprised",
        "  left out: 10 videos of classes that the probe lacks (sad)",
    ]
    assert lines[5].startswith("  open (any answer; one that the target lacks is an error): UAR 50.0 ± 14.1")
    assert lines[6].startswith("  masked (answers among the shared classes only): UAR 70.0 ± 14.1")


def test_actors_of_the_same_name_are_a_warning() -> None:
    many = {**FOUND, "shared_actors": [f"{actor:02d}" for actor in range(12)]}
    (warning,) = [line for line in transfer_summary(many) if "warning" in line]
    assert "12 actors have the same names in both sets (00, 01, 02, 03, 04, 05, 06, 07, 08, 09 ...)" in warning
    assert any(text.startswith("Warning: 12 actors") for text in transfer_section(many).texts)


def test_the_tables_hold_every_winner_and_every_class() -> None:
    section = transfer_section(FOUND)
    winners, classes = section.tables
    assert list(winners.rows[1]) == ["1", "60.0", "30.0", "15.0", "80.0", "40.0", "20.0"]
    assert list(winners.foot)[:2] == ["mean", "50.0 ± 14.1"]
    assert [list(row) for row in classes.rows] == [["happy", "50.0 ± 14.1", "70.0 ± 14.1"], ["neutral", "–", "–"]]
    for table in section.tables:
        assert table.folded and {len(row) for row in table.rows} == {len(table.columns)}
    assert "Guessing among those gets 50.0 %" in section.texts[0]
