"""Without Ray: what the decoding task and the scoring actor of full-video evaluation give for real files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from distributed.clips import window_indices
from distributed.errors import UserError
from distributed.full_video import FullVideoEvaluation, ScoreWindows, evaluate_full_video, videos_of_folds
from distributed.predictor import Predictor, WindowScores
from distributed.storage import Storage
from distributed.views import short_side
from distributed.window_scores import OpenPart
from distributed.windows import decode_windows
from jobs.export import experiment_model
from tests.finished_run import BROKEN, FOLDS, FinishedRun

STRIDE = 2


@pytest.fixture(scope="module")
def evaluation(finished_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> FullVideoEvaluation:
    """The finished run's test videos with windows of 16 frames, so that each has several."""
    manifest, store = finished_run.manifest, finished_run.store
    tokens, folds = finished_run.context.labelled(manifest, store)
    settings = finished_run.context.experiment.embedding_settings
    paths = dict(zip(manifest.table["video_id"].to_pylist(), manifest.table["path"].to_pylist(), strict=True))
    settings = replace(settings, clips=replace(settings.clips, frame_step=1))
    return FullVideoEvaluation(
        videos=videos_of_folds(tokens, folds, paths),
        label_names=manifest.label_names,
        header=store.header,
        settings=settings,
        stride=STRIDE,
        results=finished_run.evaluation,
        folder=Storage.at(tmp_path_factory.mktemp("full-video")),
    )


def scored(evaluation: FullVideoEvaluation, part: pa.Table, most_windows: int) -> OpenPart:
    settings, found = evaluation.settings, OpenPart(part)
    pieces = decode_windows(
        part.select(["part", "video_id", "path", "fold"]),
        settings.decoding,
        settings.clips,
        stride=STRIDE,
        short_side=short_side(settings.views, evaluation.header.encoder["resolution"]),
        most_windows=most_windows,
    )
    score = ScoreWindows(evaluation)
    for piece in pieces:
        assert not found.complete
        for row in score(piece).to_pylist():
            found.add(row)
    return found


def test_every_test_video_is_in_the_parts_once_with_its_own_fold(
    finished_run: FinishedRun, evaluation: FullVideoEvaluation
) -> None:
    parts = [evaluation.part(number) for number in range(evaluation.parts)]
    assert [len(part) for part in parts] == [4] * 6
    rows = [row for part in parts for row in part.to_pylist()]
    tokens, folds = finished_run.context.labelled(finished_run.manifest, finished_run.store)
    tested = {tokens.video_ids[row]: (fold.index, tokens.labels[row]) for fold in folds for row in fold.test}
    assert {row["video_id"]: (row["fold"], row["label"]) for row in rows} == tested and len(rows) == len(tested) == 24


def test_windows_are_the_plans_and_are_scored_by_the_winner_of_the_videos_fold(
    finished_run: FinishedRun, evaluation: FullVideoEvaluation
) -> None:
    """Against the predictor with one fold's probe; pieces of three windows are joined in order."""
    ids = evaluation.videos["video_id"].to_pylist()
    chosen = evaluation.videos.take([ids.index(f"p{actor}/sad-0") for actor in (0, 2, 5)])
    assert set(chosen["fold"].to_pylist()) == set(range(FOLDS))
    found = scored(evaluation, chosen.append_column("part", pa.array([0] * 3, pa.int64())), 3)
    assert found.complete
    model = replace(experiment_model(finished_run.context), clips=evaluation.settings.clips).with_encoder()
    for row, actor in zip(found.table().to_pylist(), (0, 2, 5), strict=True):
        plan = window_indices(18 + actor, frames_per_clip=16, frame_step=1, stride=STRIDE)
        windows = np.array(row["probabilities"]).reshape(-1, 2)
        assert len(windows) == len(plan) == (actor + 3) // 2
        with Predictor(model.fold(row["fold"])) as predictor:
            path = chosen["path"][ids_of(chosen).index(row["video_id"])].as_py()
            (piece,) = predictor.windows(path, STRIDE)
        assert isinstance(piece, WindowScores)
        np.testing.assert_allclose(windows, piece.probabilities, atol=1e-4)


def ids_of(table: pa.Table) -> list[str]:
    return list(table["video_id"].to_pylist())


def test_failures_are_tried_again_and_too_many_stop_it(
    evaluation: FullVideoEvaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[int]] = []

    def pieces(_: object, evaluation: FullVideoEvaluation, parts: list[int]) -> Iterator[dict[str, object]]:
        asked.append(parts)
        row = {"num_windows": 1, "first": 0, "windows": 1, "probabilities": [0.75, 0.25]}
        for part in parts:
            for number, video in enumerate(evaluation.part(part)["video_id"].to_pylist()):
                reason = "cut short" if part in (1, 4) and number == 0 else ""
                yield {"part": part, "video_id": video, **row, "reason": reason}

    monkeypatch.setattr("distributed.full_video.rows_of_graph", pieces)
    evaluation = replace(evaluation, folder=Storage.at(tmp_path))
    with pytest.raises(UserError, match=r"2 of 24 videos could not be scored, and data.max_failures allows 1:\n  p1/"):
        evaluate_full_video(replace(evaluation, settings=replace(evaluation.settings, max_failures=0.05)), print)
    heard: list[tuple[int, int, int]] = []
    records = evaluate_full_video(evaluation, lambda *counts: heard.append(counts))
    assert asked == [[0, 1, 2, 3, 4, 5], [1, 4, 5]] and heard == [(12, 24, 0), (16, 24, 1), (20, 24, 2), (24, 24, 2)]
    assert sum(record["num_test"] for record in records) == 22
    assert [reason for record in records for _, reason in record["failed"]] == ["cut short"] * 2
    assert all(record["scores"]["uar"] == 0.5 for record in records), "every answer is happy"


def test_a_video_that_fails_has_its_reason(finished_run: FinishedRun, evaluation: FullVideoEvaluation) -> None:
    path = Path(finished_run.context.experiment.data.root) / f"{BROKEN}.mp4"
    bad = pa.table({"video_id": [BROKEN], "path": [str(path)], "fold": [0], "label": [0], "part": [0]})
    table = scored(evaluation, bad, 4).table()
    assert table["reason"].to_pylist() == ["the file is empty; copy it again"]
    assert table["probabilities"].to_pylist() == [[]]
