"""The benchmark of a sweep: its store of noise is whole, and its seconds are those of the packs' notes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from distributed.benchmark_sweep import SweepSeconds, fill_with_noise, noise_manifest
from distributed.folds import FoldsConfig
from distributed.labelled_tokens import label_tokens
from distributed.storage import Storage
from distributed.token_store import StoreHeader, TokenStore


def test_every_video_has_noise_of_its_own_and_an_epoch_of_a_fold_is_one_step(tmp_path: Path) -> None:
    manifest = noise_manifest()
    header = StoreHeader(
        encoder={"name": "tiny"},
        clips={},
        views=("left", "right"),
        view_settings={},
        pool="mean",
        dtype="float16",
        shape=(1, 1, 1, 2, 8),
        videos_hash=manifest.videos_hash,
        num_videos=len(manifest.table),
        videos_per_part=5,
        parts_per_shard=3,
        clips_per_batch=1,
    )
    store = TokenStore(Storage.at(tmp_path), header)
    fill_with_noise(store, manifest)
    assert store.complete and not store.waiting_parts() and not store.failures()
    tokens, folds = label_tokens(manifest, store, FoldsConfig(count=2))
    values = tokens.reader(0).evaluation_views(np.arange(len(tokens.labels))).float()
    assert values.shape == (32, 2, 2, 8)
    assert len(torch.unique(values.flatten(2), dim=0)) == 32 and 0.9 < values.std() < 1.1
    assert all(0 < len(fold.train) <= 32 and len(fold.validation) for fold in folds)


def test_the_seconds_are_those_of_the_fold_that_trained_longest() -> None:
    packs = [
        {"fold": 0, "pack": 0, "configurations": 4, "node": "a", "process": 1, "started": 105.0, "ended": 106.0},
        {"fold": 0, "pack": 1, "configurations": 2, "node": "a", "process": 1, "started": 106.5, "ended": 107.0},
        {"fold": 1, "pack": 0, "configurations": 4, "node": "b", "process": 1, "started": 105.5, "ended": 107.5},
        {"fold": 1, "pack": 1, "configurations": 2, "node": "b", "process": 1, "started": 108.0, "ended": 109.0},
    ]
    found = SweepSeconds.of(packs, 100.0, 111.0)
    expected = {"total": 11.0, "start": 5.0, "training": 3.0, "between": 1.0, "end": 2.0, "workers": 2}
    assert {name: getattr(found, name) for name in expected} == expected
    assert found.configurations == 12 and found.each == pytest.approx(8 / 12)
