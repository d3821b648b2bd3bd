"""A map of the embeddings: the mean token of each video in two dimensions, and what lies next to what.

t-SNE (van der Maaten and Hinton, "Visualizing data using t-SNE", 2008) keeps neighbours together; distances
between far groups and the axes mean nothing. What is said in numbers is counted in all dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
import torch

from distributed.cluster import errors_of_workers
from distributed.labelled_tokens import LabelledTokens

Rows = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]

_VIDEOS_PER_TASK = 128
_VIDEOS_PER_READ = 8
_COMPONENTS = 50
_MOST_READ_BYTES = 16 << 30
_FEWEST_FOR_A_MAP = 8


def sampled_rows(num_videos: int, most: int) -> Rows:
    """At most `most` of the videos' numbers, evenly spread over their order: int64[n]."""
    number = min(num_videos, most)
    return np.unique(np.linspace(0, num_videos - 1, number).round().astype(np.int64))


def embedding_map(tokens: LabelledTokens, most: int, *, seed: int) -> dict[str, Any] | None:
    """The map of an even sample of the videos, or None for fewer than eight.

    As many are taken as `most` and 16 GB of reading allow. The record holds `video_ids`, `x`, `y`, `num_videos`
    (of the data set), and `neighbours`: the shares of videos whose nearest other one has their class
    (`same_class`) and their actor (`same_actor`), beside what chance gives (`chance_class`, `chance_actor`).
    """
    header = tokens.store.header
    per_video = header.row_bytes * len(header.views)
    rows = sampled_rows(len(tokens.video_ids), min(most, max(100, _MOST_READ_BYTES // per_video)))
    if len(rows) < _FEWEST_FOR_A_MAP:
        return None
    parts = [rows[start : start + _VIDEOS_PER_TASK] for start in range(0, len(rows), _VIDEOS_PER_TASK)]
    with errors_of_workers():
        vectors = [_mean_tokens.remote(tokens, part) for part in parts]
        places, neighbours = ray.get(_layout.remote(seed, *vectors))
    actors = np.array(tokens.actors)[rows]
    labels = tokens.labels[rows]
    shares = {
        "same_class": float((labels[neighbours] == labels).mean()),
        "same_actor": float((actors[neighbours] == actors).mean()),
        "chance_class": same_by_chance(labels.tolist()),
        "chance_actor": same_by_chance(actors.tolist()),
    }
    return {
        "video_ids": [tokens.video_ids[row] for row in rows],
        "x": places[:, 0].tolist(),
        "y": places[:, 1].tolist(),
        "num_videos": len(tokens.video_ids),
        "neighbours": shares,
    }


def same_by_chance(values: Sequence[Any]) -> float:
    """The chance that another one drawn at random has the same value."""
    _, counts = np.unique(values, return_counts=True)
    return float((counts * (counts - 1)).sum() / (len(values) * (len(values) - 1)))


def mean_tokens(tokens: LabelledTokens, rows: Rows) -> Vectors:
    """The mean over views and tokens of each video, float32[n, D]."""
    reader = tokens.reader(0)
    parts = [
        reader.evaluation_views(rows[start : start + _VIDEOS_PER_READ]).flatten(1, 2).mean(dim=1, dtype=torch.float32)
        for start in range(0, len(rows), _VIDEOS_PER_READ)
    ]
    vectors: Vectors = torch.cat(parts).numpy()
    return vectors


def layout(vectors: Vectors, *, seed: int) -> tuple[Vectors, Rows]:
    """Places float32[n, 2] of vectors float32[n, D], and each one's nearest other: int64[n].

    Features are standardised; both are computed on their first 50 principal components.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    standard = StandardScaler().fit_transform(vectors)
    components = min(_COMPONENTS, *standard.shape)
    reduced = PCA(components, svd_solver="full", random_state=seed).fit_transform(standard)
    nearest = NearestNeighbors(n_neighbors=1).fit(reduced).kneighbors(return_distance=False)[:, 0]
    perplexity = min(30.0, (len(vectors) - 1) / 3)
    places = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, n_jobs=1).fit_transform(reduced)
    return places.astype(np.float32), nearest.astype(np.int64)


@ray.remote(num_cpus=1, max_retries=2)  # type: ignore[untyped-decorator]
def _mean_tokens(tokens: LabelledTokens, rows: Rows) -> Vectors:
    torch.set_num_threads(1)
    return mean_tokens(tokens, rows)


@ray.remote(num_cpus=1, max_retries=2)  # type: ignore[untyped-decorator]
def _layout(seed: int, *parts: Vectors) -> tuple[Vectors, Rows]:
    return layout(np.concatenate(parts), seed=seed)
