"""What a decoding task of an embedding does: the frames of a part's videos, or the reasons why there are none.

It imports no torch: a node has many decoding processes, and torch costs each of them seconds and 200 MB.
"""

from __future__ import annotations

import functools
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distributed.clips import ClipsConfig, pass_seed
from distributed.cropping import WHOLE, Crops
from distributed.decoding import DecodedVideo, DecodeFailure, Decoder, DecodingConfig
from distributed.storage import Storage

_DECODED = pa.schema(
    {
        "part": pa.int64(),
        "video_id": pa.string(),
        "path": pa.string(),
        "size": pa.list_(pa.int64()),
        "clips": pa.list_(pa.int64()),
        "reason": pa.string(),
        "fingerprint": pa.string(),
        "decoded_on": pa.string(),
        "decode_started": pa.float64(),
        "decode_ended": pa.float64(),
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
    and then those of each pass. Beside it, where and when (seconds since 1970) each was decoded.
    """
    decoder = worker_decoder(decoding)
    rows, pixels = [], []
    for row in batch.to_pylist():
        started = time.time()
        result = decode_row(decoder, row, clips, short_side, passes, crops)
        if isinstance(result, DecodedVideo):
            found = {
                "size": list(result.frames.shape[:3]),
                "clips": np.concatenate([result.clips.reshape(-1), result.training_clips.reshape(-1)]),
                "reason": "",
                "fingerprint": "",
            }
        else:
            found = {"size": [0, 0, 0], "clips": [], "reason": result.reason}
            found["fingerprint"] = fingerprint(row["path"])
        pixels.append(_binary(result.frames if isinstance(result, DecodedVideo) else np.empty(0, np.uint8)))
        times = {"decoded_on": worker_name(), "decode_started": started, "decode_ended": time.time()}
        rows.append({name: row[name] for name in ("part", "video_id", "path")} | found | times)
    table = pa.Table.from_pylist(rows, schema=_DECODED)
    return table.append_column("pixels", pa.chunked_array(pixels, pa.large_binary()))


def _binary(frames: npt.NDArray[np.uint8]) -> pa.Array:
    """One value that holds the frames' bytes where they lie; pyarrow's own conversions would copy them."""
    ends = pa.py_buffer(np.array([0, frames.nbytes], np.int64))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, pa.py_buffer(frames)])


def worker_name() -> str:
    """This process, as a timeline names it."""
    return f"{platform.node()}, process {os.getpid()}"


def decode_row(
    decoder: Decoder,
    row: Mapping[str, Any],
    clips: ClipsConfig,
    short_side: int,
    passes: TrainingPasses = NO_PASSES,
    crops: Crops = WHOLE,
) -> DecodedVideo | DecodeFailure:
    """The frames of all passes of a video, which `row` gives by video_id and path, or why there are none."""
    video_id = row["video_id"]
    if reason := crops.missing(video_id):
        return DecodeFailure(reason)
    return decoder.decode(row["path"], clips, short_side, passes.seeds(video_id), crops.of(video_id))


@functools.lru_cache(maxsize=1)
def worker_decoder(config: DecodingConfig) -> Decoder:
    """One decoding process per worker, kept from task to task; it dies with the worker."""
    return Decoder(config)


def fingerprint(path: str) -> str:
    """A video's size and modification time, or `missing`: enough to see that somebody mended it.

    Raises:
        UserError: the object store that holds it does not answer, or not as asked.
    """
    address, mark, options = path.partition("?") if "://" in path else (path, "", "")
    folder, _, name = address.rpartition("/")
    return Storage(folder + mark + options).state(unquote(name) if "://" in path else name) or "missing"
