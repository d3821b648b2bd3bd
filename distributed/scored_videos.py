"""The test predictions that an evaluation has left: every scored video once, of all its folds together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from distributed import metrics
from distributed.errors import UserError
from distributed.intervals import Interval, recall_intervals, score_intervals
from distributed.storage import Storage

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ScoredVideos:
    """Videos with their true and predicted class, both int64[n] places in `label_names`, and their fold.

    `repeats` holds what further trainings of the winner predicted, where an evaluation has them.
    """

    label_names: tuple[str, ...]
    selection: str
    video_ids: tuple[str, ...]
    actors: tuple[str, ...]
    true: Rows
    predicted: Rows
    folds: Rows
    repeats: tuple[Rows, ...] = ()

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
            tuple(predicted[chosen] for predicted in self.repeats),
        )

    def scores(self) -> dict[str, float]:
        """Every score of the videos, the mean over all trainings."""
        found = [metrics.scores(self._confusion(predicted)) for predicted in (self.predicted, *self.repeats)]
        return {name: float(np.mean([one[name] for one in found])) for name in found[0]}

    def confusion(self) -> metrics.Confusion:
        """What the first training took for what, int64[C, C], true by predicted."""
        return self._confusion(self.predicted)

    def _confusion(self, predicted: Rows) -> metrics.Confusion:
        return metrics.confusion_matrix(self.true, predicted, self.num_classes)

    def intervals(self, seed: int = 0) -> dict[str, Interval]:
        """The interval of every score as in `scores`; none of fewer than three actors."""
        trainings = (self.predicted, *self.repeats)
        return score_intervals(self.true, trainings, self.actors, num_classes=self.num_classes, seed=seed)

    def recall_intervals(self, seed: int = 0) -> dict[str, Interval]:
        """The recall of every class by the first training, with its interval.

        None of a class that fewer than three actors show.
        """
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
    tables = [_predictions(results, f"fold-{number}.parquet", number) for number in numbers]
    records = [results.read_json(f"fold-{number}.json") for number in numbers]
    names = {_label_names(table) for table in tables}
    selections = {str(record["selection"]) for record in records}
    if len(names) > 1 or len(selections) > 1:
        raise UserError(f"{results.uri}: its folds have different classes or protocols; evaluate in a new workspace")
    label_names = names.pop()
    place = {name: index for index, name in enumerate(label_names)}
    ids = [str(one) for one in _joined(tables, "video_id")]
    order = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
    twice = next((ids[one] for one, other in pairwise(order) if ids[one] == ids[other]), None)
    if twice is not None:
        raise UserError(f"{results.uri}: {twice} is scored in two folds; evaluate in a new workspace")
    actors = _joined(tables, "actor")
    trainings = min(len(record.get("repeats") or [0]) for record in records)
    return ScoredVideos(
        label_names,
        selections.pop(),
        tuple(ids[row] for row in order),
        tuple(str(actors[row]) for row in order),
        _places(tables, "true", place)[order],
        _places(tables, "predicted", place)[order],
        np.repeat(numbers, [len(table) for table in tables])[order].astype(np.int64),
        tuple(
            _places([_repeat(results, number, repeat) for number in numbers], "predicted", place)[order]
            for repeat in range(1, trainings)
        ),
    )


def without_passes(results: Storage, scored: ScoredVideos) -> ScoredVideos | None:
    """What the winners trained without augmented passes said of the same videos; None unless every fold has them."""
    numbers = sorted(set(scored.folds.tolist()))
    records = [results.read_json(f"fold-{number}.json").get("without_passes") or {} for number in numbers]
    trainings = min(len(record.get("repeats") or ()) for record in records)
    if not trainings:
        return None
    place = {name: index for index, name in enumerate(scored.label_names)}
    predicted = []
    for training in range(trainings):
        tables = [_member(results, number, "without_passes", training) for number in numbers]
        said = dict(zip(_joined(tables, "video_id"), _joined(tables, "predicted"), strict=True))
        predicted.append(np.array([place[said[video_id]] for video_id in scored.video_ids], np.int64))
    return replace(scored, predicted=predicted[0], repeats=tuple(predicted[1:]))


def _repeat(results: Storage, fold: int, repeat: int) -> pa.Table:
    """What one of the winner's further trainings said of the fold's videos, in the order of the first one's."""
    return _member(results, fold, "repeat", repeat)


def _member(results: Storage, fold: int, role: str, number: int) -> pa.Table:
    table = _predictions(results, f"fold-{fold}-members.parquet", fold)
    return table.filter(pc.and_(pc.equal(table["role"], role), pc.equal(table["number"], number)))


def _predictions(results: Storage, name: str, fold: int) -> pa.Table:
    fix = f"delete fold-{fold}.json and run `fersweep evaluate`, which scores the fold again"
    if not results.exists(name):
        raise UserError(f"{results.uri}/{name}: missing, but fold {fold} has a record; {fix}")
    try:
        return parquet.read_table(pa.BufferReader(results.read_bytes(name)))
    except pa.ArrowInvalid as error:
        raise UserError(f"{results.uri}/{name}: not readable ({error}); {fix}") from error


def _places(tables: Sequence[pa.Table], column: str, place: Mapping[str, int]) -> Rows:
    return np.array([place[name] for name in _joined(tables, column)], np.int64)


def _label_names(table: pa.Table) -> tuple[str, ...]:
    return tuple(name.removeprefix("p_") for name in table.column_names if name.startswith("p_"))


def _joined(tables: Sequence[pa.Table], column: str) -> list[Any]:
    return [value for table in tables for value in table[column].to_pylist()]
