"""Labelled tokens made from numbers, for tests of what comes after the embedding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import torch

from distributed.folds import Fold, FoldsConfig
from distributed.labelled_tokens import LabelledTokens, label_tokens
from distributed.manifest import Manifest
from distributed.storage import Storage
from distributed.token_store import StoreHeader, TokenRow, TokenStore, VideoFailure

SHAPE = (2, 2, 2, 2, 16)
NAMES = ("happy", "neutral", "sad")


def synthetic_manifest(actors: int = 12, per_class: int = 2) -> Manifest:
    """Every actor shows every class `per_class` times; half of the actors are female."""
    rows = [(a, label, take) for a in range(actors) for label in range(len(NAMES)) for take in range(per_class)]
    table = pa.table(
        {
            "video_id": [f"a{a:02d}/c{label}t{take}" for a, label, take in rows],
            "path": ["" for _ in rows],
            "dataset": ["drawn" for _ in rows],
            "label": pa.array([label for _, label, _ in rows], pa.int64()),
            "label_name": [NAMES[label] for _, label, _ in rows],
            "actor": [f"{a:02d}" for a, _, _ in rows],
            "sex": [("female", "male")[a % 2] for a, _, _ in rows],
        }
    )
    return Manifest(table, NAMES)


def synthetic_store(
    folder: Path,
    manifest: Manifest,
    *,
    signal: float = 1.0,
    failed: frozenset[str] = frozenset(),
    passes: Callable[[str, int], torch.Tensor] | None = None,
    shape: tuple[int, int, int, int, int] = SHAPE,
) -> TokenStore:
    """Tokens in which one token of sixteen carries the class, hidden in noise; `signal` 0 leaves only noise.

    `passes` gives what is added to a video's tokens in each of two augmented passes.
    """
    ids, labels = manifest.table["video_id"].to_pylist(), manifest.table["label"].to_pylist()
    header = StoreHeader(
        encoder={"name": "none", "dim": shape[-1], "heads": 2, "resolution": 32, "sha256": "0"},
        clips={},
        views=("centre", "train-1", "train-2") if passes else ("centre",),
        view_settings={},
        pool="none",
        dtype="float16",
        shape=shape,
        videos_hash=manifest.videos_hash,
        num_videos=len(ids),
        videos_per_part=len(ids),
        parts_per_shard=1,
        clips_per_batch=1,
    )
    store = TokenStore(Storage.at(folder), header)
    store.create()
    rows, failures = [], []
    for video, label in zip(ids, labels, strict=True):
        tokens = torch.randn(shape, generator=torch.Generator().manual_seed(sum(video.encode())))
        tokens[0, 0, 0, 0, label] += 8 * signal
        if video in failed:
            failures.append(VideoFailure(video, 0, "decode", "odd", "missing"))
        else:
            rows.append(TokenRow(video, "centre", tokens))
            if passes:
                rows += [TokenRow(video, f"train-{number}", tokens + passes(video, number)) for number in (1, 2)]
    store.write_part(0, rows, failures)
    return store


def synthetic_tokens(
    folder: Path,
    *,
    signal: float = 1.0,
    folds: int = 3,
    actors: int = 12,
    shape: tuple[int, int, int, int, int] = SHAPE,
) -> tuple[LabelledTokens, list[Fold]]:
    manifest = synthetic_manifest(actors)
    store = synthetic_store(folder, manifest, signal=signal, shape=shape)
    return label_tokens(manifest, store, FoldsConfig(count=folds))
