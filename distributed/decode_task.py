"""What a decoding task of an embedding does: the frames of a part's videos, or the reasons why there are none.

It imports no torch: a node has many decoding processes, and torch costs each of them seconds and 200 MB.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import fs

from distributed.clips import ClipsConfig, pass_seed
from distributed.cropping import WHOLE, Crops
from distributed.decoding import DecodedVideo, DecodeFailure, Decoder, DecodingConfig

_DECODED = pa.schema(
    {
        "part": pa.int64(),
        "video_id": pa.string(),
        "pixels": pa.large_binary(),
        "size": pa.list_(pa.int64()),
        "clips": pa.list_(pa.int64()),
        "reason": pa.string(),
        "fingerprint": pa.string(),
    }
)


@dataclass(frozen=True)
class TrainingPasses:
    """How many augmented passes a video has; their clip plans follow from the seed."""

    count: int = 0
    seed: int = 0

    def seeds(self, video_id: str) -> list[int]:
        return [pass_seed(self.seed, video_id, number, "clips") for number in range(1, self.count + 1)]


NO_PASSES = TrainingPasses()


def decode_part(
    batch: pa.Table,
    decoding: DecodingConfig,
    clips: ClipsConfig,
    short_side: int,
    passes: TrainingPasses = NO_PASSES,
    crops: Crops = WHOLE,
) -> pa.Table:
    """The frames of a part's videos as raw bytes, or the reasons why there are none.

    `batch` has the columns part, video_id and path; `short_side` is in pixels. `clips` of a row are the clean plan's
    and then those of each pass.
    """
    decoder = worker_decoder(decoding)
    rows = []
    for row in batch.to_pylist():
        result = _decoded(decoder, row, clips, short_side, passes, crops)
        if isinstance(result, DecodedVideo):
            found = {
                "pixels": result.frames.tobytes(),
                "size": list(result.frames.shape[:3]),
                "clips": np.concatenate([result.clips.reshape(-1), result.training_clips.reshape(-1)]),
                "reason": "",
                "fingerprint": "",
            }
        else:
            found = {"pixels": b"", "size": [0, 0, 0], "clips": [], "reason": result.reason}
            found["fingerprint"] = fingerprint(row["path"])
        rows.append({"part": row["part"], "video_id": row["video_id"], **found})
    return pa.Table.from_pylist(rows, schema=_DECODED)


def _decoded(
    decoder: Decoder,
    row: dict[str, Any],
    clips: ClipsConfig,
    short_side: int,
    passes: TrainingPasses,
    crops: Crops,
) -> DecodedVideo | DecodeFailure:
    video_id = row["video_id"]
    if reason := crops.missing(video_id):
        return DecodeFailure(reason)
    return decoder.decode(row["path"], clips, short_side, passes.seeds(video_id), crops.of(video_id))


@functools.lru_cache(maxsize=1)
def worker_decoder(config: DecodingConfig) -> Decoder:
    """One decoding process per worker, kept from task to task; it dies with the worker."""
    return Decoder(config)


def fingerprint(path: str) -> str:
    """A file's size and modification time, or `missing`: enough to see that somebody mended it."""
    filesystem, name = fs.FileSystem.from_uri(path) if "://" in path else (fs.LocalFileSystem(), path)
    info = filesystem.get_file_info(name)
    return f"{info.size}:{info.mtime_ns}" if info.type == fs.FileType.File else "missing"
