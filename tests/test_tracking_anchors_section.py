"""Which anchors stand beside a score, and what they say."""

from __future__ import annotations

from typing import Any

import pytest

from tracking.anchors_section import HUMANS, Anchors, anchor_rows, anchors_figure, anchors_section
from tracking.drawing import to_png

CLASSES = ("angry", "disgust", "fearful", "happy", "neutral", "sad")


def record(fold: int, hits: int, *, scores: float) -> dict[str, Any]:
    """Ten videos of every class and 14 of neutral, `hits` of each recognised, the rest taken for angry."""
    confusion = [[0] * 6 for _ in CLASSES]
    for label in range(6):
        confusion[label][label] += hits
        confusion[label][0] += (14 if label == 4 else 10) - hits
    return {"fold": fold, "scores": {"uar": scores, "war": scores - 0.1}, "confusion": confusion, "num_lost": 1}


OURS = [record(0, 5, scores=0.5), record(1, 7, scores=0.7)]
COLOURS = [record(0, 2, scores=0.2), record(1, 2, scores=0.3)]


def table(anchors: Anchors, number: int = 0) -> dict[str, list[str]]:
    return {row[0]: list(row[1:]) for row in anchors_section(anchors).tables[number].rows}


def test_the_rows_hold_known_numbers_and_stand_in_the_order_of_their_uar() -> None:
    rows = table(Anchors("crema-d", CLASSES, OURS, COLOURS))
    assert list(rows) == ["human raters", "this run", "colours alone", "always the most frequent class"]
    # 14 of 64 videos a fold are neutral.
    assert rows["always the most frequent class"][:2] == ["16.7", "21.9"]
    assert rows["colours alone"][:2] == ["25.0 ± 7.1", "15.0 ± 7.1"]
    assert rows["this run"][:2] == ["60.0 ± 14.1", "50.0 ± 14.1"]
    assert rows["human raters"][:2] == ["69.1", "68.5"]
    recalls = table(Anchors("crema-d", CLASSES, OURS, COLOURS), 1)
    assert recalls["human raters"] == ["68.5", "66.1", "54.6", "96.1", "93.3", "36.0"]
    assert recalls["always the most frequent class"] == ["0.0"] * 4 + ["100.0", "0.0"]
    assert recalls["this run"][:2] == ["100.0", "60.0"] and recalls["this run"][4] == "42.9"


def test_the_mean_of_the_human_recalls_is_their_uar() -> None:
    humans = HUMANS["crema-d"]
    assert sum(humans.recall.values()) / 6 == pytest.approx(humans.uar, abs=5e-4)
    # 1,271 clips of each class and 1,087 neutral ones.
    counts = {name: 1087 if name == "neutral" else 1271 for name in CLASSES}
    assert sum(humans.recall[name] * counts[name] for name in CLASSES) / 7442 == pytest.approx(humans.war, abs=5e-4)


def test_anchors_stand_only_beside_their_own_data_set() -> None:
    for dataset, human, paper in (
        ("crema-d", True, "1.48"),
        ("ravdess", False, "state of the art"),
        ("csv", False, ""),
    ):
        section = anchors_section(Anchors(dataset, CLASSES, OURS, COLOURS))
        assert ("human raters" in [row[0] for row in section.tables[0].rows]) == human
        said = " ".join(section.texts)
        assert ("2601.09524" in said) == bool(paper) and paper in said
    # A data set of that name with other classes is another one.
    other = anchors_section(Anchors("crema-d", (*CLASSES[:5], "calm"), OURS, COLOURS))
    assert "human raters" not in [row[0] for row in other.tables[0].rows]


def test_drawn_videos_bear_a_caution() -> None:
    section = anchors_section(Anchors("crema-d", CLASSES, OURS, drawn=True))
    assert next(row[0] for row in section.tables[0].rows) == "human raters of the real CREMA-D"
    assert any("The videos of this run are drawn" in text and "real CREMA-D" in text for text in section.texts)
    assert not any("drawn: what" in text for text in anchors_section(Anchors("csv", CLASSES, OURS, drawn=True)).texts)
    assert not any("drawn: what" in text for text in anchors_section(Anchors("crema-d", CLASSES, OURS)).texts)


def test_what_the_colours_do_not_explain_is_said_in_points() -> None:
    texts = anchors_section(Anchors("csv", CLASSES, OURS, COLOURS)).texts
    assert "UAR lies 35.0 points above" in texts[0] and "2 test videos could not be decoded" in texts[1]
    below = anchors_section(Anchors("csv", CLASSES, COLOURS, OURS)).texts
    assert "UAR lies 35.0 points below" in below[0]
    without = anchors_section(Anchors("csv", CLASSES, OURS, note="No video is there."))
    assert without.texts == ["No video is there."]


def test_the_figure_places_every_row_at_its_uar() -> None:
    rows = anchor_rows(Anchors("crema-d", CLASSES, OURS, COLOURS))
    figure = anchors_figure(rows)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [row.name for row in rows]
    shown = {text.get_text() for text in axes.texts}
    assert {"60.0 ± 14.1 %", "69.1 %", "16.7 %"} <= shown
    assert to_png(figure)
