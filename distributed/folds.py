"""Outer folds and the inner validation split of each: no actor is ever in two parts of a fold.

The same videos give the same folds on every machine, whatever the order of the rows. RAVDESS: the five folds
of Luna-Jimenez et al., Sensors 2021.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from distributed.errors import UserError
from distributed.grouping import Actors, deal, draw

Rows = npt.NDArray[np.int64]

PUBLISHED_RAVDESS_TEST_ACTORS = (
    (2, 5, 14, 15, 16),
    (3, 6, 7, 13, 18),
    (10, 11, 12, 19, 20),
    (8, 17, 21, 23, 24),
    (1, 4, 9, 22),
)


class FoldsConfig(BaseModel):
    """Which videos are for training, validation and test: `folds` in the experiment file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scheme: Literal["auto", "published", "grouped", "column"] = "auto"
    count: int = Field(5, ge=2)
    seed: int = 0
    column: str | None = None
    disjoint: str | None = None
    validation: float = Field(0.2, gt=0, lt=1)

    @model_validator(mode="after")
    def _settings_fit_the_scheme(self) -> Self:
        if self.scheme == "column" and self.column is None:
            raise ValueError("column is missing: with scheme column it names the manifest's column of folds")
        if self.column is not None and self.scheme in ("published", "grouped"):
            raise ValueError(f"column is not used with scheme {self.scheme}; remove it or set scheme: column")
        if self.column is not None and self.count != type(self).model_fields["count"].get_default():
            raise ValueError("count is not used with a column of folds; remove it")
        if self.disjoint in ("video_id", "path", "dataset", "label", "label_name", "actor"):
            raise ValueError(f"disjoint cannot be {self.disjoint}; name another column, such as statement")
        return self


@dataclass(frozen=True, eq=False)
class Fold:
    """One outer fold: int64 row numbers of the manifest's table, ascending; no actor is in two parts.

    `index` is the published number for RAVDESS. With `folds.disjoint` some rows are in no part.
    """

    index: int
    train: Rows
    validation: Rows
    test: Rows

    @property
    def development(self) -> Rows:
        """All that may be learned from, training and validation: int64[rows], ascending."""
        return np.sort(np.concatenate([self.train, self.validation]))

    @property
    def parts(self) -> dict[str, Rows]:
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def to_json(self, table: pa.Table) -> dict[str, Any]:
        """A record of the fold: `fold`, and of each part `<part>_actors` and `num_<part>` videos."""
        record: dict[str, Any] = {"fold": self.index}
        for part, rows in self.parts.items():
            record |= {f"{part}_actors": actors_of(table, rows), f"num_{part}": len(rows)}
        return record


def actors_of(table: pa.Table, rows: Rows) -> list[str]:
    """The actors of some rows of a manifest's table, sorted."""
    return sorted(set(table["actor"].take(pa.array(rows, pa.int64())).to_pylist()))


def make_folds(table: pa.Table, label_names: Sequence[str], config: FoldsConfig) -> list[Fold]:
    """The folds of a manifest's table, in the order of their numbers.

    Raises:
        UserError: the table does not allow what the configuration asks for: too few actors, a class that some
            part would lack, a column that is missing or puts an actor into two folds.
    """
    people = _actors(table, len(label_names))
    num_actors = len(people.counts)
    if num_actors < 3:
        raise UserError(
            f"folds: training, validation and test need 3 actors, the manifest has {num_actors}; add videos of others"
        )
    tests = _test_actors(table, people, config)
    folds = []
    for index, test in tests.items():
        others = [actor for actor in people.counts if actor not in test]
        if len(others) < 2:
            raise UserError(
                f"folds: fold {index} tests {len(test)} of {num_actors} actors, which leaves too few for "
                "training and validation; set folds.scheme=grouped and a larger folds.count"
            )
        validation = draw(people.only(others), config.validation, f"{config.seed}:validation:{index}")
        part_of = dict.fromkeys(others, "train") | dict.fromkeys(validation, "validation")
        test_values = _test_values(table, config.disjoint, index, num_folds=max(tests) + 1)
        fold = _fold(table, index, part_of, config.disjoint, test_values)
        check_disjoint(table, fold, config.disjoint)
        _check_classes(table, label_names, fold, config)
        folds.append(fold)
    return folds


def check_disjoint(table: pa.Table, fold: Fold, column: str | None = None) -> None:
    """Refuse a fold that would let training or selection see the test.

    Raises:
        UserError: an actor is in two parts, or `column` has a value both in the test and outside it.
    """
    for (one, rows), (other, other_rows) in combinations(fold.parts.items(), 2):
        shared = sorted(set(actors_of(table, rows)) & set(actors_of(table, other_rows)))
        if shared:
            raise UserError(
                f"folds: actor {shared[0]} is in {one} and in {other} of fold {fold.index}; "
                "give all videos of an actor to one part"
            )
    if column is not None:
        values = _column(table, column, "folds.disjoint")
        both = sorted({values[row] for row in fold.test} & {values[row] for row in fold.development})
        if both:
            raise UserError(
                f"folds.disjoint: {column} {both[0]!r} is in the test of fold {fold.index} and outside it; "
                "leave its videos out of one of them"
            )


def _actors(table: pa.Table, num_classes: int) -> Actors:
    names = table["actor"].to_pylist()
    counts = {actor: [0] * num_classes for actor in sorted(set(names))}
    for actor, label in zip(names, table["label"].to_pylist(), strict=True):
        counts[actor][label] += 1
    if "sex" not in table.column_names:
        return Actors(counts, dict.fromkeys(counts, ""))
    sexes = [str(sex) for sex in table["sex"].to_pylist()]
    return Actors(counts, _of_each_actor(table, sexes, "the column sex"))


def _test_actors(table: pa.Table, people: Actors, config: FoldsConfig) -> dict[int, set[str]]:
    """The test actors of each fold by its number."""
    if config.column is not None:
        return _from_column(table, config.column)
    is_ravdess = set(table["dataset"].to_pylist()) == {"ravdess"}
    if config.scheme == "published" and not is_ravdess:
        raise UserError("folds.scheme: published folds are for RAVDESS alone; set folds.scheme=grouped")
    if is_ravdess and config.scheme != "grouped":
        return _published(people, config.count)
    if config.count > len(people.counts):
        raise UserError(
            f"folds.count: {config.count} folds need as many actors, and there are {len(people.counts)}; "
            f"set folds.count={len(people.counts)} or less"
        )
    groups = deal(people, config.count, f"{config.seed}:test")
    return {index: set(group) for index, group in enumerate(groups)}


def _published(people: Actors, count: int) -> dict[int, set[str]]:
    """A partial copy keeps the published numbers; a fold none of whose test actors is there is left out."""
    if count != len(PUBLISHED_RAVDESS_TEST_ACTORS):
        raise UserError(
            f"folds.count: there are {len(PUBLISHED_RAVDESS_TEST_ACTORS)} published folds, not {count}; "
            "remove folds.count or set folds.scheme=grouped"
        )
    fold_of = {f"{actor:02d}": i for i, fold in enumerate(PUBLISHED_RAVDESS_TEST_ACTORS) for actor in fold}
    strange = next((actor for actor in people.counts if actor not in fold_of), None)
    if strange is not None:
        raise UserError(
            f"folds.scheme: actor {strange} is not one of RAVDESS's 01 to 24; correct it or set folds.scheme=grouped"
        )
    indices = sorted({fold_of[actor] for actor in people.counts})
    return {index: {actor for actor in people.counts if fold_of[actor] == index} for index in indices}


def _from_column(table: pa.Table, column: str) -> dict[int, set[str]]:
    fold_of = _of_each_actor(table, _column(table, column, "folds.column"), f"folds.column={column}")
    values = sorted(set(fold_of.values()))
    if len(values) < 2:
        raise UserError(f"folds.column: {column} holds {values[0]!r} alone; give it a value for each fold")
    return {i: {actor for actor, fold in fold_of.items() if fold == values[i]} for i in range(len(values))}


def _test_values(table: pa.Table, column: str | None, index: int, *, num_folds: int) -> set[Any]:
    """The values of `folds.disjoint` that a fold tests, dealt round robin; folds may share one."""
    if column is None:
        return set()
    values = sorted(set(_column(table, column, "folds.disjoint")))
    if len(values) < 2:
        raise UserError(f"folds.disjoint: {column} holds {values[0]!r} alone; name a column of several values")
    step = min(num_folds, len(values))
    return set(values[index % step :: step])


def _fold(table: pa.Table, index: int, part_of: Mapping[str, str], column: str | None, test_values: set[Any]) -> Fold:
    """The rows of each part; an actor without one is tested. Rows on `column`'s wrong side are left out."""
    parts: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    values = None if column is None else table[column].to_pylist()
    for row, actor in enumerate(table["actor"].to_pylist()):
        part = part_of.get(actor, "test")
        if values is None or (values[row] in test_values) == (part == "test"):
            parts[part].append(row)
    return Fold(index, **{part: np.array(rows, dtype=np.int64) for part, rows in parts.items()})


def _check_classes(table: pa.Table, label_names: Sequence[str], fold: Fold, config: FoldsConfig) -> None:
    labels = table["label"].to_numpy()
    for part, rows in fold.parts.items():
        lacking = sorted(set(range(len(label_names))) - set(labels[rows].tolist()))
        if not lacking:
            continue
        name = label_names[lacking[0]]
        if lacking[0] not in labels:
            raise UserError(f"folds: no video of the manifest shows {name}; add some")
        grouped = "folds.scheme=grouped with fewer folds (folds.count)"
        fix = "another folds.validation" if part == "validation" else grouped
        fix += ", without folds.disjoint" if config.disjoint else ""
        raise UserError(f"folds: fold {fold.index} has no video of {name} in {part}; try {fix}, or another folds.seed")


def _of_each_actor(table: pa.Table, values: Sequence[Any], where: str) -> dict[str, Any]:
    """The one value that each actor has."""
    found: dict[str, Any] = {}
    for actor, value in zip(table["actor"].to_pylist(), values, strict=True):
        if found.setdefault(actor, value) != value:
            both = " and ".join(repr(one) for one in sorted([found[actor], value]))
            raise UserError(f"folds: actor {actor} has {both} in {where}; give an actor one value")
    return found


def _column(table: pa.Table, column: str, key: str) -> list[Any]:
    """The values of a column that has one in every row."""
    if column not in table.column_names:
        has = ", ".join(table.column_names)
        raise UserError(f"{key}: the manifest has no column {column}; it has {has}")
    values: list[Any] = table[column].to_pylist()
    for row, value in enumerate(values):
        if value is None or value == "" or value != value:
            raise UserError(f"{key}: {table['video_id'][row]} has no {column}; fill it in")
    return values
