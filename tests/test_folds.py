"""No actor on both sides of anything, the published folds to the letter, and the same folds for everybody."""

from __future__ import annotations

import json
import lzma
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from distributed.datasets import CREMA_D_LABELS, RAVDESS_LABELS, read_crema_d
from distributed.errors import UserError
from distributed.folds import Fold, FoldsConfig, actors_of, check_disjoint, make_folds
from distributed.tables import read_demographics

_CREMA_D = Path(__file__).parent / "data" / "crema_d"
_PUBLISHED = ["2 5 14 15 16", "3 6 7 13 18", "10 11 12 19 20", "8 17 21 23 24", "1 4 9 22"]


def _table(rows: Sequence[Mapping[str, Any]], labels: Sequence[str], dataset: str) -> pa.Table:
    full = [
        {"video_id": f"{number:05d}", "dataset": dataset, "label": labels.index(row["label_name"]), **row}
        for number, row in enumerate(rows)
    ]
    return pa.Table.from_pylist(full)


def _ravdess(actors: Sequence[int] = range(1, 25), **changes: Any) -> pa.Table:
    fields = product(actors, RAVDESS_LABELS, ("kids", "dogs"), (1, 2))
    rows = [
        {
            "label_name": label,
            "actor": f"{actor:02d}",
            "statement": statement,
            "repetition": repetition,
            "sex": "male" if actor % 2 else "female",
        }
        | changes
        for actor, label, statement, repetition in fields
    ]
    return _table(rows, RAVDESS_LABELS, "ravdess")


def _small(actors: Mapping[str, str], **columns: Mapping[str, Any]) -> pa.Table:
    """A user's dataset: of each actor one video for every letter (its class); `columns` by actor."""
    rows = [
        {"label_name": label, "actor": actor, **{name: values[actor] for name, values in columns.items()}}
        for actor, labels in actors.items()
        for label in labels
    ]
    return _table(rows, "xy", "csv")


@pytest.fixture(scope="module")
def crema_d() -> pa.Table:
    names = lzma.decompress((_CREMA_D / "files.txt.xz").read_bytes()).decode().split()
    table_of_actors = (_CREMA_D / "VideoDemographics.csv").read_bytes()
    videos = read_crema_d(names, read_demographics(table_of_actors, "actors.csv")).videos
    rows = [{"label_name": video.label_name, "actor": video.actor, **video.extra} for video in videos]
    return _table(rows, CREMA_D_LABELS, "crema-d")


def _assert_sound(table: pa.Table, folds: Sequence[Fold], *, all_rows: bool = True) -> None:
    """Every actor is tested once, no part shares an actor, and no row is lost or doubled."""
    tested = [actor for fold in folds for actor in actors_of(table, fold.test)]
    assert sorted(tested) == sorted(set(table["actor"].to_pylist()))
    for fold in folds:
        check_disjoint(table, fold)
        rows = np.concatenate([fold.train, fold.validation, fold.test])
        assert len(set(rows.tolist())) == len(rows)
        assert not all_rows or len(rows) == table.num_rows
        for part in fold.parts.values():
            assert part.dtype == np.int64 and (np.diff(part) > 0).all() and len(part) > 0
        assert fold.development.tolist() == sorted([*fold.train, *fold.validation])


@pytest.mark.parametrize("scheme", ["auto", "published"])
def test_ravdess_has_the_published_folds(scheme: str) -> None:
    table = _ravdess()
    folds = make_folds(table, RAVDESS_LABELS, FoldsConfig.model_validate({"scheme": scheme}))
    _assert_sound(table, folds)
    assert [" ".join(str(int(a)) for a in actors_of(table, fold.test)) for fold in folds] == _PUBLISHED
    for fold in folds:
        validation = actors_of(table, fold.validation)
        assert len(validation) == 4 and Counter(int(actor) % 2 for actor in validation) == {0: 2, 1: 2}


def test_the_seed_moves_the_validation_actors_alone() -> None:
    table = _ravdess()
    zero, one = (make_folds(table, RAVDESS_LABELS, FoldsConfig(seed=seed)) for seed in (0, 1))
    assert all((a.test == b.test).all() for a, b in zip(zero, one, strict=True))
    assert any(a.validation.tolist() != b.validation.tolist() for a, b in zip(zero, one, strict=True))
    draws = {tuple(actors_of(table, fold.validation)) for fold in zero}
    assert len(draws) == 5


def test_a_part_of_ravdess_keeps_the_published_numbers() -> None:
    table = _ravdess([2, 5, 10, 8, 17])
    folds = make_folds(table, RAVDESS_LABELS, FoldsConfig())
    tests = {fold.index: actors_of(table, fold.test) for fold in folds}
    assert tests == {0: ["02", "05"], 2: ["10"], 3: ["08", "17"]}
    _assert_sound(table, folds)


def test_crema_d_is_balanced_by_sex_class_and_videos(crema_d: pa.Table) -> None:
    for seed in range(3):
        folds = make_folds(crema_d, CREMA_D_LABELS, FoldsConfig(seed=seed))
        _assert_sound(crema_d, folds)
        tests = [crema_d.take(pa.array(fold.test)).to_pylist() for fold in folds]
        sexes = [Counter({row["actor"]: row["sex"] for row in rows}.values()) for rows in tests]
        for sex in ("male", "female"):
            assert max(count[sex] for count in sexes) - min(count[sex] for count in sexes) <= 1
        for label in CREMA_D_LABELS:
            counts = [sum(row["label_name"] == label for row in rows) for rows in tests]
            assert max(counts) - min(counts) <= 20  # an actor has 14
        for fold in folds:
            validation = crema_d.take(pa.array(fold.validation)).to_pylist()
            people = Counter({row["actor"]: row["sex"] for row in validation}.values())
            assert people.total() in (14, 15) and abs(people["male"] - people["female"]) <= 1


def _fingerprint(table: pa.Table, folds: Sequence[Fold]) -> str:
    return sha256(json.dumps([fold.to_json(table) for fold in folds], sort_keys=True).encode()).hexdigest()[:16]


def test_crema_d_has_these_folds_on_every_machine_and_in_any_order(crema_d: pa.Table) -> None:
    """The literal is the folds that everybody gets, whatever the process's hash seed; results hang on it."""
    shuffled = crema_d.take(np.random.default_rng(0).permutation(crema_d.num_rows))
    for table in (crema_d, shuffled):
        folds = make_folds(table, CREMA_D_LABELS, FoldsConfig())
        assert _fingerprint(table, folds) == "f5133de31c42cbba"


@pytest.mark.parametrize("count", [2, 3, 7, 24])
def test_grouped_folds_of_ravdess_are_of_any_number(count: int) -> None:
    table = _ravdess()
    folds = make_folds(table, RAVDESS_LABELS, FoldsConfig(scheme="grouped", count=count))
    assert [fold.index for fold in folds] == list(range(count))
    _assert_sound(table, folds)


def test_a_column_of_the_user_makes_the_folds() -> None:
    values = {"a": 10, "b": 9, "c": 9, "d": 2}
    table = _small(dict.fromkeys(values, "xy"), part=values)
    folds = make_folds(table, "xy", FoldsConfig(column="part"))
    assert [actors_of(table, fold.test) for fold in folds] == [["d"], ["b", "c"], ["a"]]
    _assert_sound(table, folds)
    each = make_folds(table, "xy", FoldsConfig(scheme="column", column="actor"))
    assert [actors_of(table, fold.test) for fold in each] == [["a"], ["b"], ["c"], ["d"]]


@pytest.mark.parametrize(("validation", "num"), [(0.01, 1), (0.2, 4), (0.5, 10), (0.99, 18)])
def test_the_share_of_validation_actors(validation: float, num: int) -> None:
    table = _ravdess()
    folds = make_folds(table, RAVDESS_LABELS, FoldsConfig(validation=validation))
    assert [len(actors_of(table, fold.validation)) for fold in folds[:4]] == [num] * 4
    _assert_sound(table, folds)


def test_disjoint_statements_leave_the_other_ones_out() -> None:
    table = _ravdess()
    plain = make_folds(table, RAVDESS_LABELS, FoldsConfig())
    folds = make_folds(table, RAVDESS_LABELS, FoldsConfig(disjoint="statement"))
    _assert_sound(table, folds, all_rows=False)
    statements = np.array(table["statement"].to_pylist())
    assert [set(statements[fold.test]) for fold in folds] == [{"dogs"}, {"kids"}] * 2 + [{"dogs"}]
    for fold, full in zip(folds, plain, strict=True):
        assert set(statements[fold.test]).isdisjoint(statements[fold.development])
        for part, rows in fold.parts.items():
            assert set(rows) < set(full.parts[part]) and 2 * len(rows) == len(full.parts[part])


def test_many_disjoint_values_are_dealt_round_robin(crema_d: pa.Table) -> None:
    folds = make_folds(crema_d, CREMA_D_LABELS, FoldsConfig(disjoint="sentence"))
    sentences = np.array(crema_d["sentence"].to_pylist())
    tested = [sorted(set(sentences[fold.test])) for fold in folds]
    assert [len(values) for values in tested] == [3, 3, 2, 2, 2]
    assert sorted(value for values in tested for value in values) == sorted(set(sentences))
    for fold in folds:
        check_disjoint(crema_d, fold, "sentence")


def test_a_planted_leak_is_found() -> None:
    table = _ravdess([1, 2, 3])
    fold = make_folds(table, RAVDESS_LABELS, FoldsConfig(disjoint="repetition"))[0]
    (tested,) = actors_of(table, fold.test)
    for part in ("train", "validation"):
        parts = dict(fold.parts)
        parts[part] = np.sort(np.append(parts[part], fold.test[3]))
        with pytest.raises(UserError, match=f"actor {tested} is in {part} and in test of fold {fold.index}"):
            check_disjoint(table, Fold(fold.index, **parts))
    both = Fold(0, fold.train, np.append(fold.validation, fold.train[0]), fold.test)
    with pytest.raises(UserError, match="is in train and in validation"):
        check_disjoint(table, both)
    left_out = np.setdiff1d(np.arange(table.num_rows), np.concatenate(list(fold.parts.values())))
    own = [row for row in left_out if table["actor"][int(row)].as_py() in actors_of(table, fold.train)]
    leaky = Fold(0, np.sort(np.append(fold.train, own[0])), fold.validation, fold.test)
    check_disjoint(table, leaky)
    with pytest.raises(UserError, match=r"folds\.disjoint: repetition \d is in the test of fold 0"):
        check_disjoint(table, leaky, "repetition")


def test_a_record_names_the_actors_of_every_part() -> None:
    table = _small(dict.fromkeys("abc", "xy"))
    fold = Fold(2, np.array([0, 1]), np.array([4, 5]), np.array([2, 3]))
    assert json.loads(json.dumps(fold.to_json(table))) == {
        "fold": 2,
        "train_actors": ["a"],
        "num_train": 2,
        "validation_actors": ["c"],
        "num_validation": 2,
        "test_actors": ["b"],
        "num_test": 2,
    }


@pytest.mark.parametrize(
    ("table", "settings", "message"),
    [
        (_small({"a": "xy", "b": "xy"}), {"count": 2}, "need 3 actors, the manifest has 2"),
        (_small(dict.fromkeys("abcd", "xy")), {}, r"folds\.count: 5 folds .* there are 4; set folds\.count=4"),
        (_small(dict.fromkeys("abc", "xy")), {"count": 2}, r"fold 0 tests 2 of 3 actors.*larger folds\.count"),
        (_ravdess([2, 5, 14]), {}, "fold 0 tests 3 of 3 actors"),
        (_ravdess([1, 2, 3, 25]), {}, "actor 25 is not one of RAVDESS's 01 to 24"),
        (_ravdess(), {"count": 3}, r"folds\.count: there are 5 published folds, not 3"),
        (
            _small(dict.fromkeys("abc", "xy")),
            {"scheme": "published"},
            r"folds\.scheme: published folds are for RAVDESS alone",
        ),
        (_small(dict.fromkeys("abc", "x")), {"count": 3}, "no video of the manifest shows y"),
        (_small(dict.fromkeys("abcd", "x") | {"e": "xy"}), {"count": 3}, r"fold 0 has no video of y in \w+; try"),
        (_small({"a": "x", "b": "xy", "c": "xy"}, f={"a": 1, "b": 2, "c": 2}), {"column": "f"}, "of y in test"),
        (_ravdess(), {"column": "part"}, r"folds\.column: the manifest has no column part; it has .*statement"),
        (_ravdess(), {"column": "statement"}, "actor 01 has 'dogs' and 'kids' in folds.column=statement"),
        (_small(dict.fromkeys("abc", "xy"), f=dict.fromkeys("abc", 1)), {"column": "f"}, "f holds 1 alone"),
        (_small(dict.fromkeys("abc", "xy"), f={"a": "", "b": "1", "c": "2"}), {"column": "f"}, "00000 has no f"),
        (_ravdess(), {"disjoint": "sentence"}, r"folds\.disjoint: the manifest has no column sentence"),
        (_ravdess(statement="kids"), {"disjoint": "statement"}, "statement holds 'kids' alone"),
    ],
)
def test_what_cannot_be_split_is_refused(table: pa.Table, settings: dict[str, Any], message: str) -> None:
    label_names = RAVDESS_LABELS if table["dataset"][0].as_py() == "ravdess" else ("x", "y")
    with pytest.raises(UserError, match=message):
        make_folds(table, label_names, FoldsConfig.model_validate(settings))


def test_an_actor_of_two_sexes_is_refused() -> None:
    table = _ravdess()
    sexes = ["female", *table["sex"].to_pylist()[1:]]
    table = table.set_column(table.column_names.index("sex"), "sex", pa.array(sexes))
    with pytest.raises(UserError, match="actor 01 has 'female' and 'male' in the column sex"):
        make_folds(table, RAVDESS_LABELS, FoldsConfig())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scheme": "column"}, "column is missing"),
        ({"scheme": "grouped", "column": "part"}, "column is not used with scheme grouped"),
        ({"column": "part", "count": 4}, "count is not used with a column"),
        ({"disjoint": "actor"}, "disjoint cannot be actor"),
        ({"count": 1}, "count"),
        ({"validation": 0}, "validation"),
        ({"validation": 1}, "validation"),
        ({"folds": 5}, "folds"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FoldsConfig.model_validate(settings)
