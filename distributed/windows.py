"""A video of any length as sliding windows, piece by piece: memory holds the frames of one piece alone.

It imports no torch, as decoding tasks use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from distributed.clips import ClipsConfig, Indices, window_indices
from distributed.cropping import WHOLE, Crop, Crops
from distributed.decode_task import worker_decoder
from distributed.decoding import DecodeFailure, Decoder, DecodingConfig, Frames, VideoInfo


@dataclass(frozen=True)
class WindowPiece:
    """Some windows that follow each other, and the frames that they need.

    `frames` is `uint8[F, H, W, 3]`, resized; `clips` is `int64[windows, frames_per_clip]`, positions in
    `frames`; `first` is the number of the first window among the video's `num_windows`; `starts` and `stops`
    are `float64[windows]`, in seconds from the video's beginning.
    """

    frames: Frames
    clips: Indices
    first: int
    num_windows: int
    starts: np.ndarray[tuple[int], np.dtype[np.float64]]
    stops: np.ndarray[tuple[int], np.dtype[np.float64]]


def window_pieces(
    decoder: Decoder,
    path: str,
    clips: ClipsConfig,
    *,
    stride: int,
    short_side: int,
    most_windows: int,
    crop: Crop | None = None,
) -> Iterator[WindowPiece | DecodeFailure]:
    """The windows of the reference's full-video plan in pieces of `most_windows`; a failure ends them.

    Every frame is decoded once and in order. A piece holds at most `window + (most_windows - 1) * stride`
    frames, where a window is `frames_per_clip * frame_step` frames long, however long the video is.
    """
    info = decoder.inspect(path)
    if isinstance(info, DecodeFailure):
        yield info
        return
    plan = window_indices(
        info.num_frames, frames_per_clip=clips.frames_per_clip, frame_step=clips.frame_step, stride=stride
    )
    all_needed = np.unique(plan)
    held, frames = all_needed[:0], None
    for first in range(0, len(plan), most_windows):
        windows = plan[first : first + most_windows]
        # What later windows need between these frames is read in passing: decoding never goes back.
        span = all_needed[(all_needed >= windows.min()) & (all_needed <= windows.max())]
        fresh = span[len(np.intersect1d(span, held)) :]
        if frames is not None:
            frames = frames[held >= span[0]]
        if len(fresh):
            decoded = decoder.frames(path, fresh, short_side, crop)
            if isinstance(decoded, DecodeFailure):
                yield decoded
                return
            frames = decoded if frames is None else np.concatenate([frames, decoded])
        held = span
        assert frames is not None and len(frames) == len(held), "every window needs frames"
        yield _piece(frames, held, windows, info, clips, first, len(plan))


def _piece(
    frames: Frames, held: Indices, windows: Indices, info: VideoInfo, clips: ClipsConfig, first: int, num_windows: int
) -> WindowPiece:
    needed, positions = np.unique(windows, return_inverse=True)
    length = min(clips.frames_per_clip * clips.frame_step, info.num_frames)
    starts = windows[:, 0] / max(info.fps, 1e-6)
    return WindowPiece(
        frames=frames[np.isin(held, needed)],
        clips=positions.reshape(windows.shape).astype(np.int64),
        first=first,
        num_windows=num_windows,
        starts=starts,
        stops=starts + length / max(info.fps, 1e-6),
    )


_DECODED = pa.schema(
    {
        "part": pa.int64(),
        "video_id": pa.string(),
        "fold": pa.int64(),
        "num_windows": pa.int64(),
        "first": pa.int64(),
        "pixels": pa.large_binary(),
        "size": pa.list_(pa.int64()),
        "clips": pa.list_(pa.int64()),
        "reason": pa.string(),
    }
)


def decode_windows(
    batch: pa.Table,
    decoding: DecodingConfig,
    clips: ClipsConfig,
    *,
    stride: int,
    short_side: int,
    most_windows: int,
    crops: Crops = WHOLE,
) -> Iterator[pa.Table]:
    """What a decoding task does: a table of one row for each piece of each video, or its reason.

    `batch` has the columns part, video_id, path and fold.
    """
    decoder = worker_decoder(decoding)
    settings: dict[str, Any] = {"stride": stride, "short_side": short_side, "most_windows": most_windows}
    for row in batch.to_pylist():
        path, reason, crop = row.pop("path"), crops.missing(row["video_id"]), crops.of(row["video_id"])
        found = window_pieces(decoder, path, clips, crop=crop, **settings)
        for piece in [DecodeFailure(reason)] if reason else found:
            yield pa.Table.from_pylist([{**row, **_raw(piece)}], schema=_DECODED)


def _raw(piece: WindowPiece | DecodeFailure) -> dict[str, object]:
    if isinstance(piece, DecodeFailure):
        nothing = {"num_windows": 0, "first": 0, "pixels": b"", "size": [0, 0, 0], "clips": []}
        return {**nothing, "reason": piece.reason}
    return {
        "num_windows": piece.num_windows,
        "first": piece.first,
        "pixels": piece.frames.tobytes(),
        "size": list(piece.frames.shape[:3]),
        "clips": piece.clips.reshape(-1),
        "reason": "",
    }
