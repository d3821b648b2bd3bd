"""Single test videos of a finished run: the surest verdicts, and where a probe that looks has looked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from safetensors.torch import save

from distributed.cropping import Crop, Crops
from distributed.errors import UserError
from distributed.inspection import (
    Look,
    LookSettings,
    Verdict,
    look,
    look_at,
    pack_looks,
    surest,
    thinned,
    unpack_looks,
    verdicts,
)
from distributed.labelled_tokens import LabelledTokens
from distributed.storage import Storage
from search_spaces.family import build_probe
from tests.finished_run import FOLDS, FinishedRun

LOOKING = {"attentive.queries": 2, "attentive.heads": 2, "attentive.mlp_ratio": 1.0, "attentive.depth": 1}
LOOKING |= {"attentive.dropout": 0.0, "lr": 1e-3, "weight_decay": 0.0, "batch_size": 4, "label_smoothing": 0.0}
LOOKING |= {"warmup": 0.0}


def tokens_of(run: FinishedRun) -> LabelledTokens:
    return run.context.labelled(run.manifest, run.store)[0]


def paths_of(run: FinishedRun) -> dict[str, str]:
    table = run.manifest.table
    return dict(zip(table["video_id"].to_pylist(), table["path"].to_pylist(), strict=True))


def settings_of(run: FinishedRun, **options: Any) -> LookSettings:
    experiment = run.context.experiment
    return LookSettings(experiment.clips, experiment.decoding, experiment.views, **options)


def evaluation_of(folder: Path, run: FinishedRun, scale: float) -> Storage:
    """An evaluation's fold 0 whose probe has four rows that attend the more narrowly the larger `scale` is."""
    probe = build_probe("attentive", LOOKING, dim=run.store.header.shape[-1], num_classes=2, seed=0)
    with torch.no_grad():
        probe.get_parameter("pooler.query_tokens").mul_(scale)
        probe.get_parameter("pooler.cross_attention_block.xattn.kv.weight").mul_(10)
    results = Storage.at(folder)
    results.write_bytes("fold-0.safetensors", save(probe.state_dict()))
    results.write_json("fold-0.json", {"fold": 0, "family": "attentive", "params": LOOKING})
    return results


def a_verdict(run: FinishedRun) -> Verdict:
    return verdicts(run.evaluation, 0)[0]


def test_verdicts_are_the_rows_of_the_predictions_the_surest_first(tmp_path: Path) -> None:
    rows = {"video_id": ["c", "a", "b"], "actor": ["1", "1", "2"], "true": ["x", "y", "y"]}
    rows |= {"predicted": ["x", "x", "y"]}
    table = pa.table({**rows, "p_x": [0.6, 0.9, 0.1], "p_y": [0.4, 0.1, 0.9]})
    parquet.write_table(table, tmp_path / "fold-3.parquet")
    found = verdicts(Storage.at(tmp_path), 3)
    assert found[0] == Verdict("a", 3, "1", "y", "x", 0.9, 0.1)
    assert [(one.video_id, one.is_hit) for one in found] == [("a", False), ("b", True), ("c", True)]
    assert [one.video_id for one in surest(found, "hits", 1)] == ["b"]
    assert [one.video_id for one in surest(found[::-1], "mistakes", 5)] == ["a"]
    with pytest.raises(UserError, match="fold 1 is not evaluated; run `fersweep evaluate` first"):
        verdicts(Storage.at(tmp_path), 1)


def test_every_test_video_has_a_verdict(finished_run: FinishedRun) -> None:
    said = [verdict for fold in range(FOLDS) for verdict in verdicts(finished_run.evaluation, fold)]
    assert sorted(verdict.video_id for verdict in said) == sorted(tokens_of(finished_run).video_ids)
    for fold in range(FOLDS):
        record = finished_run.evaluation.read_json(f"fold-{fold}.json")
        mine = [verdict.is_hit for verdict in said if verdict.fold == fold]
        assert np.mean(mine) == pytest.approx(record["scores"]["war"])


def test_a_mean_pooled_probe_is_said_to_look_nowhere(finished_run: FinishedRun) -> None:
    (seen,) = look_at(
        [a_verdict(finished_run)],
        paths_of(finished_run),
        tokens_of(finished_run),
        finished_run.evaluation,
        settings_of(finished_run, height=24),
    )
    assert seen.uniform and seen.heats.shape[:2] == (0, 0) and not seen.reason
    assert seen.frames.shape == (6, 24, 32, 3) and seen.frames.dtype == np.uint8


def test_a_video_that_was_cut_is_shown_as_it_was_cut(finished_run: FinishedRun) -> None:
    verdict, paths = a_verdict(finished_run), paths_of(finished_run)
    rest = (tokens_of(finished_run), finished_run.evaluation)
    face = Crops(faces={verdict.video_id: Crop(box=(8, 8, 32, 32))})
    whole = look(verdict, paths[verdict.video_id], *rest, settings_of(finished_run, height=24, frames=None))
    cut = look(verdict, paths[verdict.video_id], *rest, settings_of(finished_run, height=24, frames=None, crops=face))
    assert whole.frames.shape[1:] == (24, 32, 3) and cut.frames.shape[1:] == (24, 24, 3)
    assert len(cut.frames) == len(whole.frames)


def test_a_probe_that_looks_shares_its_attention_among_the_frames(finished_run: FinishedRun, tmp_path: Path) -> None:
    run, verdict = finished_run, a_verdict(finished_run)
    arguments = (verdict, paths_of(run)[verdict.video_id], tokens_of(run))
    broad = look(*arguments, evaluation_of(tmp_path / "broad", run, 0.0), settings_of(run, frames=None))
    # All rows are alike and as wide as can be: a query of zeros gives every token the same weight.
    assert broad.uniform
    narrow = look(*arguments, evaluation_of(tmp_path / "narrow", run, 3e4), settings_of(run, frames=None, rows=2))
    number = int(np.prod(run.store.header.shape[:4]))
    assert narrow.row_names[0].startswith("mean of 4 rows\n") and narrow.row_names[1].startswith("query ")
    # The two segments of so short a video are the same clip: a row finds its token in both.
    assert {name.rpartition("\n")[2] for name in narrow.row_names[1:]} == {f"2 of {number} tokens"}
    np.testing.assert_allclose(narrow.heats.max(axis=(1, 2, 3)), 1)
    assert narrow.heats.shape[1:] == narrow.frames.shape[:3]
    lit = (narrow.heats[1] > 0.5 * narrow.heats[1].max()).sum(axis=(1, 2))
    assert set(lit.tolist()) <= {0, 16 * 16} and 1 <= (lit > 0).sum() <= 2  # one patch, in the frames of one tubelet


def test_the_frame_that_a_row_looks_at_most_is_always_shown() -> None:
    frames = np.arange(9, dtype=np.uint8).repeat(4 * 4 * 3).reshape(9, 4, 4, 3)
    heats = np.zeros((2, 9, 4, 4), np.float32)
    heats[0, 2], heats[0, 3], heats[1, 5, 0, 0] = 0.2, 1.0, 1.0
    verdict = Verdict("a", 0, "1", "x", "y", 0.9, 0.1)
    few = thinned(Look(verdict, frames, heats, ("one", "two")), 3)
    # Frames 3 and 5 are the brightest of their rows; frame 0 is as far from them as frame 8, and comes first.
    assert few.frames[:, 0, 0, 0].tolist() == [0, 3, 5]
    np.testing.assert_array_equal(few.heats, heats[:, [0, 3, 5]])
    plain = thinned(Look(verdict, frames, heats[:0], uniform=True), 3)
    assert plain.frames[:, 0, 0, 0].tolist() == [0, 4, 8]
    assert thinned(plain, 5) is plain


def test_a_video_that_is_gone_leaves_its_reason(finished_run: FinishedRun, tmp_path: Path) -> None:
    run = finished_run
    lost = look(a_verdict(run), str(tmp_path / "gone.mp4"), tokens_of(run), run.evaluation, settings_of(run))
    assert "the file does not exist" in lost.reason and len(lost.frames) == 0 and len(lost.heats) == 0


def test_looks_come_back_as_they_were_packed() -> None:
    rng = np.random.default_rng(0)
    verdict = Verdict("a/b", 1, "7", "happy", "sad", 0.75, 0.25)
    frames = rng.integers(0, 255, (2, 3, 4, 3)).astype(np.uint8)
    full = Look(verdict, frames, rng.random((2, 2, 3, 4)).astype(np.float32), ("one\n2 of 3", "two"))
    empty = replace(full, frames=frames[:0], heats=full.heats[:0], row_names=(), uniform=True, reason="gone")
    for before, after in zip((full, empty), unpack_looks(pack_looks([full, empty])), strict=True):
        np.testing.assert_array_equal(after.frames, before.frames)
        np.testing.assert_array_equal(after.heats, before.heats)
        assert (after.verdict, after.row_names, after.uniform, after.reason) == (
            before.verdict,
            before.row_names,
            before.uniform,
            before.reason,
        )
    assert unpack_looks(pack_looks([])) == []
