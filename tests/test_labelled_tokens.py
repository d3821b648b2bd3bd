"""Videos that failed leave the folds, and nobody else moves because of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distributed.folds import FoldsConfig
from distributed.labelled_tokens import label_tokens
from tests.synthetic import synthetic_manifest, synthetic_store


def names(ids: tuple[str, ...], rows: np.ndarray) -> set[str]:
    return {ids[row] for row in rows}


def test_failed_videos_leave_their_part_and_no_other_video_moves(tmp_path: Path) -> None:
    manifest = synthetic_manifest()
    failed = frozenset({"a00/c0t0", "a07/c2t1"})
    config = FoldsConfig(count=3)
    whole, folds = label_tokens(manifest, synthetic_store(tmp_path / "a", manifest), config)
    less, restricted = label_tokens(manifest, synthetic_store(tmp_path / "b", manifest, failed=failed), config)
    assert len(whole.video_ids) == 72 and len(less.video_ids) == 70
    assert less.num_classes == 3
    for fold, smaller in zip(folds, restricted, strict=True):
        for part in ("train", "validation", "test"):
            before, after = getattr(fold, part), getattr(smaller, part)
            assert names(less.video_ids, after) == names(whole.video_ids, before) - failed
    for row, video in enumerate(less.video_ids):
        assert less.labels[row] == int(video[5]) and less.actors[row] == video[1:3]


def test_the_reader_reads_the_labelled_videos_in_their_order(tmp_path: Path) -> None:
    manifest = synthetic_manifest()
    store = synthetic_store(tmp_path, manifest, failed=frozenset({"a00/c0t0"}))
    tokens, _ = label_tokens(manifest, store, FoldsConfig(count=3))
    reader = tokens.reader(seed=0)
    first = reader.gather(np.arange(len(tokens.video_ids)))[:, 0, :3].float()
    assert (first.argmax(dim=1).numpy() == tokens.labels).all()
