"""Which frames make which clip: the training, evaluation and full-video plans of V-JEPA's probing recipe.

The rules are those of `src/datasets/video_dataset.py` in facebookresearch/jepa and in
lennarteingunia/vjepa-for-fer, restated; the tests hold them for every length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClipsConfig:
    """A clip plan: segments of a video, frames of a clip, and how many source frames apart they are."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    segments: int = 8
    frames_per_clip: int = 16
    frame_step: int = 4

    def __post_init__(self) -> None:
        for name in ("segments", "frames_per_clip", "frame_step"):
            if getattr(self, name) < 1:
                raise ValueError(f"clips.{name} is {getattr(self, name)}; it must be at least 1")


def clip_indices(
    num_frames: int,
    *,
    segments: int,
    frames_per_clip: int,
    frame_step: int,
    rng: np.random.Generator | None = None,
) -> Indices:
    """The frames of each segment's clip, `int64[segments, frames_per_clip]`.

    Without `rng` the evaluation plan; with it each clip of a long video starts at random within its segment.

    Raises:
        ValueError: the video has no frame.
    """
    if num_frames < 1:
        raise ValueError(f"a video needs at least one frame, this one has {num_frames}")
    window = frames_per_clip * frame_step
    partition = num_frames // segments
    if partition > window:
        starts = np.zeros(segments, np.int64)
        if rng is not None:
            starts = rng.integers(0, partition - window, size=segments)
        clips: Indices = np.stack([_spread(int(start), window, frames_per_clip) for start in starts])
        clips += np.arange(segments)[:, None] * partition
        return clips
    last = min(window, num_frames) - 1
    clip = _padded(last, last // frame_step, frames_per_clip)
    step = (num_frames - window) // (segments - 1) if num_frames > window and segments > 1 else 0
    plan: Indices = clip[None, :] + np.arange(segments, dtype=np.int64)[:, None] * step
    return plan


def training_indices(num_frames: int, clips: ClipsConfig, seeds: Sequence[int]) -> Indices:
    """The training plan of every pass, `int64[passes, segments, frames_per_clip]`; each has a seed of its own.

    Raises:
        ValueError: the video has no frame.
    """
    sizes = {
        "segments": clips.segments,
        "frames_per_clip": clips.frames_per_clip,
        "frame_step": clips.frame_step,
    }
    plans = [clip_indices(num_frames, **sizes, rng=np.random.default_rng(seed)) for seed in seeds]
    return np.array(plans, np.int64).reshape(-1, clips.segments, clips.frames_per_clip)


def pass_seed(seed: int, video_id: str, number: int, purpose: str) -> int:
    """A seed of 128 bits of one augmented pass of a video, the same everywhere; `purpose` is clips or pixels."""
    text = f"{seed}/{purpose}/{number}/{video_id}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def window_indices(num_frames: int, *, frames_per_clip: int, frame_step: int, stride: int) -> Indices:
    """Sliding windows over the whole video, `int64[windows, frames_per_clip]`.

    At stride 1 the reference's full-video plan: starts 0 to n - w - 1, without the last possible one.

    Raises:
        ValueError: the video has no frame, or the stride is below 1.
    """
    if num_frames < 1 or stride < 1:
        raise ValueError(f"needs at least one frame and a stride of 1, got {num_frames} and {stride}")
    window = frames_per_clip * frame_step
    if num_frames <= window:
        return _padded(num_frames, num_frames // frame_step, frames_per_clip)[None, :]
    starts = range(0, num_frames - window, stride)
    return np.stack([_spread(start, window, frames_per_clip) for start in starts])


def _spread(start: int, window: int, count: int) -> Indices:
    points = np.linspace(start, start + window, num=count)
    clip: Indices = np.clip(points, start, start + window - 1).astype(np.int64)
    return clip


def _padded(last: int, distinct: int, count: int) -> Indices:
    """`distinct` points from 0 to `last`, the end repeated up to `count`, kept below `last`."""
    points = np.concatenate([np.linspace(0, last, num=distinct), np.full(count - distinct, float(last))])
    # One frame leaves nothing below `last`; it is then shown again and again.
    clip: Indices = np.clip(points, 0, max(last - 1, 0)).astype(np.int64)
    return clip
