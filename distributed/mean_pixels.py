"""A probe that sees no face: the mean colour of a coarse grid over a video's frames, and logistic regression.

What it reaches is told from light, background and clothes alone. A score of frozen tokens means something where
it stands well above this one on the same folds.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import ray
from pydantic import BaseModel, ConfigDict, Field

from distributed import metrics
from distributed.clips import ClipsConfig
from distributed.cluster import finish
from distributed.decoding import DecodedVideo, Decoder, DecodingConfig
from distributed.folds import Fold
from distributed.placement import decode_options
from distributed.search import Record
from distributed.storage import Storage

Rows = npt.NDArray[np.int64]
Colours = npt.NDArray[np.float32]

# Means over cells need no more: 16 x 16 pixels and more in each of the 4 x 4 cells.
_SHORT_SIDE = 64
_VIDEOS_PER_TASK = 64


class AnchorsConfig(BaseModel):
    """What a score is placed beside in the report."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    mean_pixel: bool = Field(True, description="train a probe on mean colours; decodes every video once more")
    grid: int = Field(4, ge=1, le=16, description="cells along each side of a picture")


@dataclass(frozen=True)
class ColourSettings:
    """Everything that decides a video's colours but the video."""

    clips: ClipsConfig
    decoding: DecodingConfig
    grid: int


def mean_colours(frames: npt.NDArray[np.uint8], grid: int) -> Colours:
    """The mean red, green, blue (0 to 255) of each cell, row by row: uint8[F, H, W, 3] -> float32[3 * grid**2]."""
    picture = frames.mean(axis=0)
    cells = [cell for row in np.array_split(picture, grid) for cell in np.array_split(row, grid, axis=1)]
    return np.concatenate([cell.mean(axis=(0, 1)) for cell in cells]).astype(np.float32)


def read_colours(
    paths: Sequence[str], settings: ColourSettings, folder: Storage, on_progress: Callable[[int, int, int], None]
) -> Colours:
    """The colours of every video, float32[videos, 3 * grid**2]; a row of NaN where it cannot be decoded.

    Each part is kept in `folder` as soon as it is there, so that an interrupted reading goes on and a second one
    decodes nothing; a part without any video that decodes is not, as its files may only be away. `on_progress`
    hears the videos done, their number, and those that failed.
    """
    names = {_part_name(start): start for start in range(0, len(paths), _VIDEOS_PER_TASK)}
    there = set(folder.names())
    read = _read_part.options(**decode_options())
    running = {
        read.remote(paths[start : start + _VIDEOS_PER_TASK], settings, folder, name): name
        for name, start in names.items()
        if name not in there
    }
    parts = {name: _load(folder, name) for name in names if name in there}
    on_progress(*_counts(parts, len(paths)))
    for name, colours in finish(running):
        parts[name] = colours
        on_progress(*_counts(parts, len(paths)))
    return np.concatenate([parts[name] for name in names])


def is_read(num_videos: int, folder: Storage) -> bool:
    """Whether the colours of all videos are in the folder."""
    return {_part_name(start) for start in range(0, num_videos, _VIDEOS_PER_TASK)} <= set(folder.names())


def score_colours(
    colours: Colours, labels: Rows, folds: Sequence[Fold], label_names: Sequence[str], *, seed: int = 0
) -> list[Record]:
    """Logistic regression on standardised colours, trained on each fold's development and scored on its test.

    `labels` is int64[videos]; rows of NaN are left out of both. A record holds `fold`, `scores`, `recall` by
    class, `confusion`, and how many test videos were scored (`num_test`) and left out (`num_lost`). A fold whose
    test, or all of whose classes but one, cannot be decoded has no record.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    seen = np.asarray(np.isfinite(colours).all(axis=1))
    records: list[Record] = []
    for fold in folds:
        train, test = fold.development[seen[fold.development]], fold.test[seen[fold.test]]
        if not len(test) or len(set(labels[train].tolist())) < 2:
            continue
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, random_state=seed))
        model.fit(colours[train], labels[train])
        confusion = metrics.confusion_matrix(labels[test], model.predict(colours[test]), len(label_names))
        recall = metrics.recall_per_class(confusion)
        records.append(
            {
                "fold": fold.index,
                "scores": metrics.scores(confusion),
                "recall": dict(zip(label_names, recall, strict=True)),
                "confusion": confusion.tolist(),
                "num_test": len(test),
                "num_lost": len(fold.test) - len(test),
            }
        )
    return records


@ray.remote(num_cpus=1, max_retries=2)  # type: ignore[untyped-decorator]
def score_on_worker(
    colours: Colours, labels: Rows, folds: Sequence[Fold], label_names: Sequence[str], seed: int
) -> list[Record]:
    return score_colours(colours, labels, folds, label_names, seed=seed)


@ray.remote(num_cpus=1, max_retries=2)  # type: ignore[untyped-decorator]
def _read_part(paths: Sequence[str], settings: ColourSettings, folder: Storage, name: str) -> Colours:
    found = np.full((len(paths), 3 * settings.grid**2), np.nan, np.float32)
    with Decoder(settings.decoding) as decoder:
        for row, path in enumerate(paths):
            video = decoder.decode(path, settings.clips, _SHORT_SIDE)
            if isinstance(video, DecodedVideo):
                found[row] = mean_colours(video.frames, settings.grid)
    if np.isfinite(found).any():
        sink = io.BytesIO()
        np.save(sink, found)
        folder.write_bytes(name, sink.getvalue())
    return found


def _load(folder: Storage, name: str) -> Colours:
    colours: Colours = np.load(io.BytesIO(folder.read_bytes(name)), allow_pickle=False)
    return colours


def _counts(parts: dict[str, Colours], total: int) -> tuple[int, int, int]:
    lost = sum(int(np.count_nonzero(np.isnan(part).any(axis=1))) for part in parts.values())
    return sum(len(part) for part in parts.values()), total, lost


def _part_name(start: int) -> str:
    return f"colours-{start:07d}.npy"
