"""The section on full videos: means over folds of both ways of deciding, and failures that are said aloud."""

from typing import Any

from tracking.full_video_section import full_video_metrics, full_video_section, full_video_summary


def record(fold: int, uar: float | None, vote: float | None, failed: int = 0) -> dict[str, Any]:
    scores = [None if u is None else {"uar": u, "war": u / 2, "macro_f1": u / 4} for u in (uar, vote)]
    return {
        "fold": fold,
        "num_test": 10,
        "num_windows": 1000,
        "scores": scores[0],
        "vote_scores": scores[1],
        "failed": [["a", "empty"]] * failed,
    }


RECORDS = [record(0, 0.5, 0.4), record(1, 0.7, 0.6, failed=2), record(2, None, None)]
FOLDS = [{"fold": fold, "scores": {"uar": 0.25}} for fold in range(3)]


def test_metrics_are_means_over_the_folds_that_have_scores() -> None:
    found = full_video_metrics(RECORDS)
    assert len(found) == 6
    assert (round(found["full_video_uar_mean"], 6), round(found["full_video_vote_war_mean"], 6)) == (0.6, 0.25)


def test_the_summary_names_both_ways() -> None:
    first, mean, vote = full_video_summary(RECORDS)
    assert first == "full video: 3,000 windows of 30 videos"
    assert mean.startswith("  mean softmax: UAR 60.0 ± 14.1, WAR 30.0 ± 7.1")
    assert vote.startswith("  majority vote: UAR 50.0 ± 14.1")


def test_the_section_sets_windows_beside_segments_and_says_what_failed() -> None:
    section = full_video_section({"stride": 2, "folds": RECORDS}, FOLDS)
    (table,) = section.tables
    assert list(table.rows[1]) == ["1", "10", "1,000", "25.0", "70.0", "35.0", "60.0", "30.0"]
    assert list(table.rows[2])[4:] == ["–"] * 4
    assert list(table.foot)[:4] == ["mean", "30", "3,000", "25.0 ± 0.0"]
    assert {len(row) for row in [*table.rows, table.foot]} == {len(table.columns)} and table.folded
    assert "(stride 2)" in section.texts[0] and "60.0 ± 14.1 % by the mean softmax" in section.texts[0]
    assert section.texts[1].endswith("no score here: 2.")
