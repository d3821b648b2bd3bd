"""Invented test predictions whose scores are known, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from distributed.scored_videos import ScoredVideos
from distributed.storage import Storage
from distributed.tables import MANIFEST_COLUMNS

LABELS = ("happy", "sad")


def scored(right: Sequence[Sequence[bool]], labels: Sequence[str] = LABELS) -> ScoredVideos:
    """Actors p0, p1, ...; video k of an actor is of class k mod 2, and named rightly where `right` says so."""
    true = np.array([k % 2 for row in right for k in range(len(row))], np.int64)
    hit = np.array([one for row in right for one in row], bool)
    actors = tuple(f"p{actor}" for actor, row in enumerate(right) for _ in row)
    ids = tuple(f"p{actor}/v{k:02d}" for actor, row in enumerate(right) for k in range(len(row)))
    folds = np.array([int(actor[1:]) % 2 for actor in actors], np.int64)
    return ScoredVideos(tuple(labels), "nested", ids, actors, true, np.where(hit, true, 1 - true), folds)


def table_of(videos: ScoredVideos, **columns: Sequence[object]) -> pa.Table:
    """A manifest's table of the videos in reverse order, with columns of its own beside the usual ones."""
    names = [videos.label_names[label] for label in videos.true]
    usual = dict(
        zip(
            MANIFEST_COLUMNS,
            (videos.video_ids, ["/v"] * len(names), ["drawn"] * len(names), videos.true.tolist(), names, videos.actors),
            strict=True,
        )
    )
    table = pa.table({**{name: list(values) for name, values in usual.items()}, **columns})
    return table.take(pa.array(range(len(names))[::-1]))


def write_evaluation(results: Storage, videos: ScoredVideos) -> Storage:
    """The records and predictions of the videos' folds, as an evaluation writes them."""
    for fold in sorted(set(videos.folds.tolist())):
        part = videos.only(np.flatnonzero(videos.folds == fold))
        sure = np.eye(len(part.label_names))[part.predicted]
        columns = {
            "video_id": list(part.video_ids),
            "actor": list(part.actors),
            "true": [part.label_names[label] for label in part.true],
            "predicted": [part.label_names[label] for label in part.predicted],
            **{f"p_{name}": sure[:, place] for place, name in enumerate(part.label_names)},
        }
        sink = pa.BufferOutputStream()
        parquet.write_table(pa.table(columns), sink)
        results.write_bytes(f"fold-{fold}.parquet", sink.getvalue())
        results.write_json(f"fold-{fold}.json", {"fold": fold, "selection": part.selection})
    return results


def write_families(results: Storage, said: Mapping[str, ScoredVideos]) -> Storage:
    """An evaluation whose folds have scored these families, each the videos that it has of a fold."""
    write_evaluation(results, next(iter(said.values())))
    folds = sorted({int(fold) for videos in said.values() for fold in videos.folds})
    for fold in folds:
        there = [name for name, videos in said.items() if fold in videos.folds]
        scores = dict.fromkeys(("uar", "war", "macro_f1"), 0.5)
        listed = [
            {"family": name, "tried": 1, "trial": place, "inner_score": 0.5}
            | ({"scores": scores, "reason": None} if name in there else {"scores": None, "reason": "none ended"})
            for place, name in enumerate(said)
        ]
        record = {"fold": fold, "family": there[0], "selection": "nested", "families": listed}
        results.write_json(f"fold-{fold}.json", record)
        tables = []
        for place, (name, videos) in enumerate(said.items()):
            if name in there:
                part = write_evaluation(results.child("one", name), videos).read_bytes(f"fold-{fold}.parquet")
                table = parquet.read_table(pa.BufferReader(part))
                table = table.append_column("role", pa.array(["family"] * len(table)))
                tables.append(table.append_column("number", pa.array([place] * len(table))))
        sink = pa.BufferOutputStream()
        parquet.write_table(pa.concat_tables(tables), sink)
        results.write_bytes(f"fold-{fold}-members.parquet", sink.getvalue())
    return results
