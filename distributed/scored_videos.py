"""The test predictions that an evaluation has left: every scored video once, of all its folds together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    records = read_records(results)
    trainings = min(len(record.get("repeats") or [0]) for record in records.values())
    tables = {number: [_predictions(results, f"fold-{number}.parquet", number)] for number in records}
    for number in records:
        tables[number] += [_members(results, number, "repeat", repeat) for repeat in range(1, trainings)]
    return _together(results, tables, {str(record["selection"]) for record in records.values()})


def read_families(results: Storage) -> dict[str, ScoredVideos]:
    """What the best configuration of every family said, by family; a family is scored in the folds that could be.

    Raises:
        UserError: as `read_scored`, or the families of a fold were not scored.
    """
    records = read_records(results)
    found: dict[str, dict[int, list[pa.Table]]] = {}
    for number, record in records.items():
        if not record.get("families"):
            raise UserError(
                f"{results.uri}: only the winner of fold {number} was scored there, and not every family's best; "
                "evaluate with evaluate.families=true"
            )
        for place, family in enumerate(record["families"]):
            tables = found.setdefault(family["family"], {})
            if family["scores"] is not None:
                tables[number] = [_members(results, number, "family", place)]
    selections = {str(record["selection"]) for record in records.values()}
    return {name: _together(results, tables, selections) for name, tables in found.items() if tables}


def without_passes(results: Storage) -> ScoredVideos | None:
    """What the winners trained without augmented passes said of the same videos; None unless every fold has them.

    Raises:
        UserError: as `read_scored`.
    """
    records = read_records(results)
    trainings = min(len((record.get("without_passes") or {}).get("repeats") or ()) for record in records.values())
    if not trainings:
        return None
    tables = {n: [_members(results, n, "without_passes", training) for training in range(trainings)] for n in records}
    return _together(results, tables, {str(record["selection"]) for record in records.values()})


def read_records(results: Storage) -> dict[int, dict[str, Any]]:
    """The folds' records by the folds' numbers, in their order. Raises UserError: no fold is evaluated there."""
    numbers = sorted(int(found[1]) for name in results.names() if (found := re.fullmatch(r"fold-(\d+)\.json", name)))
    if not numbers:
        raise UserError(f"{results.uri}: no fold is evaluated there; run `fersweep evaluate` first")
    return {number: results.read_json(f"fold-{number}.json") for number in numbers}


def _together(results: Storage, by_fold: Mapping[int, Sequence[pa.Table]], selections: set[str]) -> ScoredVideos:
    """All folds' videos in one: of each fold the predictions of the first training and, after it, of further ones."""
    tables = [first for first, *_ in by_fold.values()]
    names = {_label_names(table) for table in tables}
    if len(names) > 1 or len(selections) > 1:
        raise UserError(f"{results.uri}: its folds have different classes or protocols; evaluate in a new workspace")
    (label_names,), (selection,) = names, selections
    place = {name: index for index, name in enumerate(label_names)}
    ids = [str(one) for one in _joined(tables, "video_id")]
    order = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
    twice = next((ids[one] for one, other in pairwise(order) if ids[one] == ids[other]), None)
    if twice is not None:
        raise UserError(f"{results.uri}: {twice} is scored in two folds; evaluate in a new workspace")
    actors = _joined(tables, "actor")
    return ScoredVideos(
        label_names,
        selection,
        tuple(ids[row] for row in order),
        tuple(str(actors[row]) for row in order),
        _places(tables, "true", place)[order],
        _places(tables, "predicted", place)[order],
        np.repeat(list(by_fold), [len(table) for table in tables])[order].astype(np.int64),
        tuple(
            _places(repeat, "predicted", place)[order]
            for repeat in zip(*(further for _, *further in by_fold.values()), strict=True)
        ),
    )


def _members(results: Storage, fold: int, role: str, number: int) -> pa.Table:
    """What a member said of the fold's videos: `repeat`, the winner trained once more, `without_passes` or `family`."""
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
