"""What probes are trained and scored on: the videos that have tokens, their labels, and their folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distributed.folds import Fold, FoldsConfig, make_folds
from distributed.manifest import Manifest
from distributed.token_reader import TokenReader
from distributed.token_store import TokenStore
from distributed.view_draws import TrainingViews

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LabelledTokens:
    """The videos of a manifest that have tokens; rows of its folds are positions in `video_ids`."""

    store: TokenStore
    video_ids: tuple[str, ...]
    actors: tuple[str, ...]
    labels: Rows
    label_names: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        return len(self.label_names)

    def reader(self, seed: int, take: TrainingViews = "all") -> TokenReader:
        """`take` says which views training is given; a fold is scored on the clean ones in any case."""
        return TokenReader(self.store, self.video_ids, seed=seed, take=take)


def label_tokens(manifest: Manifest, store: TokenStore, config: FoldsConfig) -> tuple[LabelledTokens, list[Fold]]:
    """The usable videos and their folds.

    Folds are made from the whole manifest, so that a video that failed moves no other one, and are then
    restricted to the videos that have tokens.
    """
    folds = make_folds(manifest.table, manifest.label_names, config)
    usable = _usable(manifest, store)
    return usable_tokens(manifest, store), [_restricted(fold, usable) for fold in folds]


def usable_tokens(manifest: Manifest, store: TokenStore) -> LabelledTokens:
    """The videos that have tokens."""
    kept = manifest.table.filter(_usable(manifest, store))
    return LabelledTokens(
        store=store,
        video_ids=tuple(kept["video_id"].to_pylist()),
        actors=tuple(kept["actor"].to_pylist()),
        labels=kept["label"].to_numpy().astype(np.int64),
        label_names=manifest.label_names,
    )


def _usable(manifest: Manifest, store: TokenStore) -> npt.NDArray[np.bool_]:
    failed = {failure.video_id for failure in store.failures()}
    return np.array([video_id not in failed for video_id in manifest.table["video_id"].to_pylist()], bool)


def _restricted(fold: Fold, usable: npt.NDArray[np.bool_]) -> Fold:
    position = np.cumsum(usable) - 1
    parts: Sequence[Rows] = [position[rows[usable[rows]]] for rows in (fold.train, fold.validation, fold.test)]
    return Fold(fold.index, *parts)
