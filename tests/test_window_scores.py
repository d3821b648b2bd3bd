"""Known answers: the mean of a video's windows and their vote, scores of folds, and pieces that come in any order."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from distributed.window_scores import OpenPart, fold_records, mean_class, vote_class

NAMES = ("happy", "neutral", "sad")
# Two windows lean a little to neutral, one is sure of happy: the mean says happy, the vote neutral.
SPLIT = [[0.4, 0.6, 0.0], [0.4, 0.6, 0.0], [1.0, 0.0, 0.0]]


def test_the_mean_and_the_vote_can_differ() -> None:
    assert (mean_class(np.array(SPLIT)), vote_class(np.array(SPLIT))) == (0, 1)


def test_a_tied_vote_is_decided_by_the_mean() -> None:
    tied = np.array([[0.6, 0.4, 0.0], [0.0, 0.1, 0.9]])
    assert vote_class(tied) == 2 and vote_class(tied[::-1]) == 2
    assert vote_class(np.array([[0.2, 0.5, 0.3]])) == 1


def windows_of(*rows: tuple[str, int, int, list[list[float]], str]) -> pa.Table:
    ids, folds, labels, tables, reasons = zip(*rows, strict=True)
    flat = [np.array(table, np.float32).reshape(-1) for table in tables]
    columns = {"video_id": ids, "fold": folds, "label": labels, "probabilities": flat, "reason": reasons}
    return pa.table({**columns, "probabilities": pa.array(flat, pa.list_(pa.float32()))})


def test_each_fold_is_scored_both_ways_and_failures_are_in_no_score() -> None:
    table = windows_of(
        ("a", 0, 0, SPLIT, ""),
        ("b", 0, 2, [[0.0, 0.0, 1.0]], ""),
        ("c", 0, 1, [], "the file is empty"),
        ("d", 1, 1, SPLIT, ""),
    )
    first, second = fold_records(table, NAMES)
    assert (first["num_test"], first["num_windows"]) == (2, 4)
    assert first["failed"] == [["c", "the file is empty"]] and second["failed"] == []
    assert first["confusion"] == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert first["vote_confusion"] == [[0, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert (first["scores"]["uar"], first["vote_scores"]["uar"]) == (1.0, 0.5)
    assert (second["scores"]["war"], second["vote_scores"]["war"]) == (0.0, 1.0)


def test_a_fold_without_a_video_has_no_score() -> None:
    (record,) = fold_records(windows_of(("a", 3, 0, [], "gone")), NAMES)
    assert (record["fold"], record["scores"], record["vote_scores"]) == (3, None, None)


def test_a_part_is_complete_once_every_window_has_come_in_any_order() -> None:
    videos = pa.table({"video_id": ["a", "b"], "fold": [0, 1], "label": [2, 0], "path": ["", ""]})
    part = OpenPart(videos)
    piece = {"video_id": "a", "num_windows": 3, "reason": ""}
    part.add({**piece, "first": 2, "windows": 1, "probabilities": [5.0, 6.0]})
    part.add({**piece, "video_id": "b", "num_windows": 9, "first": 0, "windows": 1, "probabilities": [0.0, 0.0]})
    assert not part.complete
    part.add({**piece, "first": 0, "windows": 2, "probabilities": [1.0, 2.0, 3.0, 4.0]})
    assert not part.complete
    part.add({**piece, "video_id": "b", "first": 0, "windows": 0, "probabilities": [], "reason": "cut short"})
    assert part.complete
    table = part.table()
    assert table["probabilities"].to_pylist() == [pytest.approx([1, 2, 3, 4, 5, 6]), []]
    assert table["reason"].to_pylist() == ["", "cut short"] and table["fold"].to_pylist() == [0, 1]
