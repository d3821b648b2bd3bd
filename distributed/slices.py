"""Test scores of parts of the videos: by actor, sex, age group and whatever else the video list knows of them.

A score over slices is for finding weak spots: with many of them some stand apart by chance. The unweighted
recall of a slice is the mean over the classes that the slice holds, so two slices are alike only where they
hold the same ones (RAVDESS has no strong neutral); their number stands with them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from distributed import metrics
from distributed.errors import UserError
from distributed.intervals import Interval
from distributed.scored_videos import ScoredVideos

MOST_VALUES = 30  # a column of more is no grouping; the actors always are
FEW_VIDEOS = 20  # a slice of fewer is marked: one video moves its score by five points and more
UNKNOWN = "unknown"
_NAMES = ("video_id", "path")
_ITSELF = ("label", "label_name")  # its slices are the classes, whose recalls the confusion matrix shows


@dataclass(frozen=True)
class Slice:
    """The scored videos that share a value of a column; no interval of fewer than three actors.

    Scores are the mean over an evaluation's trainings, recall and confusion those of the first.
    """

    column: str
    value: str
    num_videos: int
    num_actors: int
    num_classes: int
    scores: dict[str, float]
    intervals: dict[str, Interval]
    recall: dict[str, float | None] = field(default_factory=dict)
    confusion: list[list[int]] = field(default_factory=list)

    @property
    def few(self) -> bool:
        return self.num_videos < FEW_VIDEOS


def slices(scored: ScoredVideos, table: pa.Table, *, by: str | None = None) -> list[Slice]:
    """The slices of the scored videos by every column of the manifest's `table`, or by one.

    Columns come in the order of their gaps (`gap`), the largest first; in each the lowest UAR comes first.

    Raises:
        UserError: `by` is no column, or names every video on its own; or a scored video is not in the table.
    """
    row_of = {video_id: row for row, video_id in enumerate(table["video_id"].to_pylist())}
    lost = next((video_id for video_id in scored.video_ids if video_id not in row_of), None)
    if lost is not None:
        raise UserError(f"{lost} was scored, but is not in the video list; run `fersweep evaluate` again")
    chosen = table.take(pa.array([row_of[video_id] for video_id in scored.video_ids], pa.int64()))
    if by is not None:
        return _sliced(scored, by, _named_values(chosen, by))
    found = []
    for column in chosen.column_names:
        if column in (*_NAMES, *_ITSELF):
            continue
        values = _texts(column, chosen[column].to_pylist())
        if len(set(values)) > 1 and (len(set(values)) <= MOST_VALUES or column == "actor"):
            found.append(_sliced(scored, column, values))
    return [one for group in sorted(found, key=gap, reverse=True) for one in group]


def gap(group: Sequence[Slice]) -> float:
    """From the lowest to the highest UAR of a column's slices; 0 of fewer than two that count.

    A slice of few videos does not count, nor one of fewer than three actors beside others of more.
    """
    scores = [
        one.scores["uar"] for one in group if not one.few and (one.intervals or not any(o.intervals for o in group))
    ]
    return max(scores) - min(scores) if scores else 0.0


def age_group(age: float) -> str:
    """The decade of an age in years: 20-29; an age below 0 is unknown."""
    decade = int(age // 10) * 10
    return UNKNOWN if age < 0 else f"{decade}-{decade + 9}"


def _named_values(table: pa.Table, by: str) -> list[str]:
    if by not in table.column_names or by in _NAMES:
        columns = ", ".join(name for name in table.column_names if name not in _NAMES)
        raise UserError(f"--by: videos cannot be sliced by {by!r}; the video list has the columns {columns}")
    return _texts(by, table[by].to_pylist())


def _texts(column: str, values: Sequence[Any]) -> list[str]:
    """What a slice is called: whole numbers without a point, ages as decades, nothing as unknown."""
    if column == "age" and all(value is None or isinstance(value, int | float) for value in values):
        return [UNKNOWN if value is None or math.isnan(value) else age_group(value) for value in values]
    return [UNKNOWN if value is None or value != value or value == "" else _text(value) for value in values]


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _sliced(scored: ScoredVideos, column: str, values: Sequence[str]) -> list[Slice]:
    names = np.array(values)
    found = [_slice(scored.only(np.flatnonzero(names == value)), column, value) for value in sorted(set(values))]
    return sorted(found, key=lambda one: (one.scores["uar"], one.value))


def _slice(videos: ScoredVideos, column: str, value: str) -> Slice:
    confusion = videos.confusion()
    recall = metrics.recall_per_class(confusion)
    return Slice(
        column=column,
        value=value,
        num_videos=len(videos.video_ids),
        num_actors=len(set(videos.actors)),
        num_classes=sum(one is not None for one in recall),
        scores=videos.scores(),
        intervals=videos.intervals(),
        recall=dict(zip(videos.label_names, recall, strict=True)),
        confusion=confusion.tolist(),
    )
