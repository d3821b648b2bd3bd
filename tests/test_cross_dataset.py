"""One experiment's winners on another one's videos: token kinds are compared, and each winner scores every video."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distributed.cross_dataset import FoldTransfer, check_same_tokens, score_fold, shared_actors
from distributed.errors import UserError
from distributed.prediction import predict_probabilities
from distributed.storage import Storage
from distributed.transfer import TransferConfig, class_map
from distributed.winners import load_winner
from tests.finished_run import FinishedRun


def test_tokens_of_another_kind_are_refused_with_every_difference(finished_run: FinishedRun) -> None:
    header = finished_run.store.header
    check_same_tokens(header, replace(header, dtype="bfloat16", videos_hash="other", num_videos=3))
    other = replace(
        header,
        encoder={**header.encoder, "sha256": "0" * 64},
        clips={**header.clips, "segments": 8},
        view_settings={"crops": 3},
        pool="time",
    )
    with pytest.raises(UserError) as raised:
        check_same_tokens(header, other)
    for difference in (
        "clips.segments: 2 there, 8 here",
        f"encoder.sha256: {header.encoder['sha256']} there, {'0' * 64} here",
        "pool: none there, time here",
        "views.crops: 1 there, 3 here",
    ):
        assert difference in str(raised.value)


def test_actors_of_the_same_name_are_found() -> None:
    assert shared_actors(["01", "02", "02", "03"], ["03", "02", "1001"]) == ["02", "03"]
    assert shared_actors(["01"], ["1001"]) == []


def test_each_winner_scores_every_video_and_says_so_video_by_video(finished_run: FinishedRun, tmp_path: Path) -> None:
    """The run's own videos under other names: sad ones are grief, happy ones joy, which the map leaves out."""
    tokens, _ = finished_run.context.labelled(finished_run.manifest, finished_run.store)
    renamed = replace(tokens, label_names=("joy", "grief"))
    classes = class_map(("happy", "sad"), renamed.label_names, TransferConfig(classes={"happy": "joy", "sad": "grief"}))
    job = FoldTransfer(1, finished_run.evaluation, ("happy", "sad"), renamed, classes, Storage.at(tmp_path))
    record, table = score_fold(job)
    winner = load_winner(finished_run.evaluation, 1, dim=32, num_classes=2)
    expected = predict_probabilities(tokens.reader(0), np.arange(24), [winner.probe], device="cpu")[0]
    np.testing.assert_allclose(np.stack([table["p_happy"], table["p_sad"]], axis=1), expected, atol=1e-6)
    right = float(np.mean(expected.argmax(axis=1) == tokens.labels))
    assert record["fold"] == 1 and record["num_test"] == len(table) == 24
    assert record["open"]["scores"]["war"] == record["masked"]["scores"]["war"] == pytest.approx(right)
    assert table["true"].to_pylist() == [("joy", "grief")[label] for label in tokens.labels]
    assert table["open"].to_pylist() == [("joy", "grief")[answer] for answer in expected.argmax(axis=1)]
    assert not any(table["left_out"].to_pylist())
