"""The predictions of an evaluation's folds come back whole, each video once, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from distributed.errors import UserError
from distributed.scored_videos import read_families, read_scored, without_passes
from distributed.storage import Storage
from tests.finished_run import FOLDS, FinishedRun
from tests.scored_world import scored, write_evaluation, write_families

VIDEOS = scored([[True] * 4, [True, False, True, False], [False] * 4, [True] * 4])


def test_what_an_evaluation_wrote_comes_back_in_the_order_of_the_videos(tmp_path: Path) -> None:
    read = read_scored(write_evaluation(Storage.at(tmp_path), VIDEOS))
    assert (read.label_names, read.selection) == (VIDEOS.label_names, "nested")
    assert (read.video_ids, read.actors) == (VIDEOS.video_ids, VIDEOS.actors)
    for name in ("true", "predicted", "folds"):
        assert getattr(read, name).tolist() == getattr(VIDEOS, name).tolist()
    assert read.only([5, 2]).video_ids == ("p1/v01", "p0/v02")
    assert read.only([5, 2]).predicted.tolist() == [0, 0]
    assert read.intervals()["war"].value == pytest.approx(10 / 16)


def test_the_videos_of_a_finished_run_are_those_of_its_records(finished_run: FinishedRun) -> None:
    read = read_scored(finished_run.evaluation)
    for fold in range(FOLDS):
        record, part = (
            finished_run.evaluation.read_json(f"fold-{fold}.json"),
            read.only(np.flatnonzero(read.folds == fold)),
        )
        confusion = np.zeros((2, 2), int)
        np.add.at(confusion, (part.true, part.predicted), 1)
        assert confusion.tolist() == record["confusion"]
        assert sorted(set(part.actors)) == record["test_actors"]
    assert len(read.video_ids) == len(set(read.video_ids)) == 24


def test_what_the_winners_said_without_passes_comes_back_for_the_same_videos(tmp_path: Path) -> None:
    results = write_evaluation(Storage.at(tmp_path), VIDEOS)
    assert without_passes(results) is None
    for fold in (0, 1):
        table = parquet.read_table(pa.BufferReader(results.read_bytes(f"fold-{fold}.parquet")))
        table = table.take(list(range(len(table)))[::-1])  # in an order of its own
        others = [VIDEOS.label_names[1 - VIDEOS.label_names.index(name)] for name in table["predicted"].to_pylist()]
        table = table.set_column(table.column_names.index("predicted"), "predicted", [others])
        table = table.append_column("role", [["without_passes"] * len(table)])
        sink = pa.BufferOutputStream()
        parquet.write_table(table.append_column("number", [[0] * len(table)]), sink)
        results.write_bytes(f"fold-{fold}-members.parquet", sink.getvalue())
        record: dict[str, object] = {
            "fold": fold,
            "selection": "nested",
            "without_passes": {"repeats": [{}] if fold else []},
        }
        results.write_json(f"fold-{fold}.json", record)
    assert without_passes(results) is None, "one fold has none"
    results.write_json("fold-0.json", {**record, "fold": 0})
    found = without_passes(results)
    assert found is not None
    assert found.predicted.tolist() == (1 - VIDEOS.predicted).tolist() and found.true is not None
    assert found.video_ids == VIDEOS.video_ids and found.repeats == ()


def test_further_trainings_come_along_and_scores_are_their_mean(tmp_path: Path) -> None:
    results = write_evaluation(Storage.at(tmp_path), VIDEOS)
    other = replace(VIDEOS, predicted=VIDEOS.true)
    for fold in (0, 1):
        tables = []
        for role, number, source in (("repeat", 0, VIDEOS), ("repeat", 1, other), ("ensemble", 0, VIDEOS)):
            part = source.only(np.flatnonzero(source.folds == fold))
            names = [part.label_names[label] for label in part.predicted]
            columns = {"predicted": names, "role": [role] * len(names), "number": [number] * len(names)}
            tables.append(pa.table(columns))
        sink = pa.BufferOutputStream()
        parquet.write_table(pa.concat_tables(tables), sink)
        results.write_bytes(f"fold-{fold}-members.parquet", sink.getvalue())
        results.write_json(f"fold-{fold}.json", {"selection": "nested", "repeats": [{}, {}]})
    read = read_scored(results)
    assert [predicted.tolist() for predicted in read.repeats] == [VIDEOS.true.tolist()]
    assert read.predicted.tolist() == VIDEOS.predicted.tolist()
    assert read.scores()["war"] == (10 / 16 + 1) / 2 == read.intervals()["war"].value
    assert read.only([5, 2]).scores()["war"] == (1 / 2 + 1) / 2
    assert read.confusion().tolist() == [[6, 2], [4, 4]]
    results.delete("fold-1-members.parquet")
    with pytest.raises(UserError, match=r"fold-1-members\.parquet: missing"):
        read_scored(results)


def _no_fold(results: Storage) -> None:
    results.delete("fold-0.json")
    results.delete("fold-1.json")


def _other_protocol(results: Storage) -> None:
    results.write_json("fold-1.json", {"selection": "paper"})


def _other_classes(results: Storage) -> None:
    part = VIDEOS.only(np.flatnonzero(VIDEOS.folds == 1))
    write_evaluation(results, replace(part, label_names=("happy", "angry")))


def _twice(results: Storage) -> None:
    write_evaluation(results, replace(VIDEOS, folds=np.full(16, 2)))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_no_fold, "no fold is evaluated there; run `fersweep evaluate` first"),
        (
            lambda results: results.delete("fold-1.parquet"),
            r"parquet: missing, but fold 1 has a record; delete",
        ),
        (lambda results: results.write_bytes("fold-1.parquet", b"PAR1"), r"fold-1\.parquet: not readable"),
        (_other_protocol, "its folds have different classes or protocols"),
        (_other_classes, "its folds have different classes or protocols"),
        (_twice, "p0/v00 is scored in two folds"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    tmp_path: Path, damage: Callable[[Storage], None], message: str
) -> None:
    results = write_evaluation(Storage.at(tmp_path), VIDEOS)
    damage(results)
    with pytest.raises(UserError, match=message):
        read_scored(results)


def test_a_family_that_a_fold_could_not_score_is_known_from_the_others(tmp_path: Path) -> None:
    results = write_evaluation(Storage.at(tmp_path), VIDEOS)
    with pytest.raises(UserError, match="only the winner of fold 0 was scored there"):
        read_families(results)
    mlp = replace(VIDEOS, predicted=1 - VIDEOS.predicted).only(np.flatnonzero(VIDEOS.folds == 0))
    write_families(results, {"linear": VIDEOS, "mlp": mlp})
    found = read_families(results)
    assert found["linear"].video_ids == VIDEOS.video_ids
    assert found["linear"].predicted.tolist() == VIDEOS.predicted.tolist()
    assert found["mlp"].video_ids == tuple(np.array(VIDEOS.video_ids)[VIDEOS.folds == 0])
    assert found["mlp"].predicted.tolist() == (1 - VIDEOS.predicted[VIDEOS.folds == 0]).tolist()
