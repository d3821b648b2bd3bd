"""The test predictions that an evaluation has left: every scored video once, of all its folds together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import parquet

from distributed.errors import UserError
from distributed.intervals import Interval, recall_intervals, score_intervals
from distributed.storage import Storage

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ScoredVideos:
    """Videos with their true and predicted class, both int64[n] places in `label_names`, and their fold."""

    label_names: tuple[str, ...]
    selection: str
    video_ids: tuple[str, ...]
    actors: tuple[str, ...]
    true: Rows
    predicted: Rows
    folds: Rows

    @property
    def num_classes(self) -> int:
        return len(self.label_names)

    def only(self, rows: Sequence[int] | Rows) -> ScoredVideos:
        """Some of the videos, by their numbers, in the order given."""
        chosen = np.asarray(rows, np.int64)
        return ScoredVideos(
            self.label_names,
            self.selection,
            tuple(self.video_ids[row] for row in chosen),
            tuple(self.actors[row] for row in chosen),
            self.true[chosen],
            self.predicted[chosen],
            self.folds[chosen],
        )

    def intervals(self, seed: int = 0) -> dict[str, Interval]:
        """Every score of the videos with its interval; none of fewer than three actors."""
        return score_intervals(self.true, self.predicted, self.actors, num_classes=self.num_classes, seed=seed)

    def recall_intervals(self, seed: int = 0) -> dict[str, Interval]:
        """The recall of every class with its interval; none of a class that fewer than three actors show."""
        found = recall_intervals(self.true, self.predicted, self.actors, num_classes=self.num_classes, seed=seed)
        return {name: one for name, one in zip(self.label_names, found, strict=True) if one is not None}


def read_scored(results: Storage) -> ScoredVideos:
    """The predictions of all folds of an evaluation's folder that have a record, in the order of the video ids.

    Raises:
        UserError: no fold is evaluated there, a fold's predictions are missing or not readable, or two folds
            do not belong together: other classes, another protocol, or a video that both have scored.
    """
    numbers = sorted(int(found[1]) for name in results.names() if (found := re.fullmatch(r"fold-(\d+)\.json", name)))
    if not numbers:
        raise UserError(f"{results.uri}: no fold is evaluated there; run `fersweep evaluate` first")
    tables = [_predictions(results, number) for number in numbers]
    names = {_label_names(table) for table in tables}
    selections = {str(results.read_json(f"fold-{number}.json")["selection"]) for number in numbers}
    if len(names) > 1 or len(selections) > 1:
        raise UserError(f"{results.uri}: its folds have different classes or protocols; evaluate in a new workspace")
    label_names = names.pop()
    columns = {name: _joined(tables, name) for name in ("video_id", "actor", "true", "predicted")}
    order = sorted(range(len(columns["video_id"])), key=lambda row: str(columns["video_id"][row]))
    ids = [str(columns["video_id"][row]) for row in order]
    twice = next((one for one, other in pairwise(ids) if one == other), None)
    if twice is not None:
        raise UserError(f"{results.uri}: {twice} is scored in two folds; evaluate in a new workspace")
    place = {name: index for index, name in enumerate(label_names)}
    folds = np.repeat(numbers, [len(table) for table in tables])
    return ScoredVideos(
        label_names,
        selections.pop(),
        tuple(ids),
        tuple(str(columns["actor"][row]) for row in order),
        np.array([place[columns["true"][row]] for row in order], np.int64),
        np.array([place[columns["predicted"][row]] for row in order], np.int64),
        folds[order].astype(np.int64),
    )


def _predictions(results: Storage, fold: int) -> pa.Table:
    name = f"fold-{fold}.parquet"
    fix = f"delete fold-{fold}.json and run `fersweep evaluate`, which scores the fold again"
    if not results.exists(name):
        raise UserError(f"{results.uri}/{name}: missing, but fold {fold} has a record; {fix}")
    try:
        return parquet.read_table(pa.BufferReader(results.read_bytes(name)))
    except pa.ArrowInvalid as error:
        raise UserError(f"{results.uri}/{name}: not readable ({error}); {fix}") from error


def _label_names(table: pa.Table) -> tuple[str, ...]:
    return tuple(name.removeprefix("p_") for name in table.column_names if name.startswith("p_"))


def _joined(tables: Sequence[pa.Table], column: str) -> list[Any]:
    return [value for table in tables for value in table[column].to_pylist()]
