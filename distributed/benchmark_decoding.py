"""How fast one core reads videos, beside the reference's way of reading them.

The reference (the V-JEPA evaluation of facebookresearch/jepa, as lennarteingunia/vjepa-for-fer uses it) asks decord
for the frames of all clips one after the other, resizes every one of them, cuts three squares from each clip and
normalises them as floating-point numbers. Both sides are measured in seconds of the processor, to which others on the
machine add little, one after the other in every round; the best round of each counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import psutil
import pyarrow as pa
import torch
from torch import Tensor

from distributed.clips import ClipsConfig, clip_indices
from distributed.decode_task import decode_part
from distributed.decoding import DecodingConfig, open_video, resized_size
from distributed.encoders.vjepa import IMAGENET_MEAN, IMAGENET_STD
from distributed.shared_frames import Frames
from distributed.views import ViewsConfig, evaluation_clips

CLIPS = ClipsConfig()
VIEWS = ViewsConfig(crops=3)
_VIDEOS_PER_ROUND = 6  # the processor's seconds of another process are known to a hundredth


@dataclass(frozen=True)
class VideoKind:
    """A made video: its codec, bits a second, size in pixels and length in seconds."""

    name: str
    codec: str
    bit_rate: int
    width: int
    height: int
    seconds: float


# As in RAVDESS and in CREMA-D.
KINDS = (
    VideoKind("h264.mp4", "libx264", 8_000_000, 1280, 720, 3.7),
    VideoKind("flv1.flv", "flv", 1_000_000, 480, 360, 2.5),
)


@dataclass(frozen=True)
class DecodingMeasured:
    """Processor seconds of one video, from its file to 8-bit pixels that go to the device; and the reference's.

    `reference_pixels_s` is what the reference takes until its frames are decoded and resized, `reference_s` with
    its crops and normalisation, which here are the device's work. `frames` are distinct frames of the video, and
    `same_clips` tells whether both give the same numbers to the encoder.
    """

    video: str
    frames: int
    seconds: float
    reference_pixels_s: float
    reference_s: float
    same_clips: bool

    @property
    def ratio(self) -> float:
        return self.reference_s / self.seconds


def make_video(folder: Path, kind: VideoKind) -> Path:
    """A video with detail at all scales that moves, with some noise, at 29.97 frames a second."""
    rng = np.random.default_rng(0)
    margin, height, width = 64, kind.height, kind.width
    picture = np.zeros((height + 2 * margin, width + 2 * margin, 3), np.float32)
    for step in (4, 8, 16, 32, 64, 128, 256):
        coarse = rng.normal(size=(picture.shape[0] // step + 2, picture.shape[1] // step + 2, 3)).astype(np.float32)
        picture += step**0.9 * cv2.resize(coarse, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    picture = 128 + 45 * (picture - picture.mean()) / picture.std()
    noise = rng.normal(0, 3, (4, height, width, 3)).astype(np.float32)
    path = folder / kind.name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(kind.codec, rate=Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", kind.bit_rate
        for number in range(round(kind.seconds * 30000 / 1001)):
            x, y = (int(margin + 0.8 * margin * f(number / 20)) for f in (np.sin, np.cos))
            image = np.clip(picture[y : y + height, x : x + width] + noise[number % 4], 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def measure_decoding(path: Path, resolution: int, rounds: int, on_round: Callable[[], None]) -> DecodingMeasured:
    """Both sides on one video with 8 segments and 3 views, in turn.

    Raises ValueError where the video cannot be decoded, with the reason.
    """
    part = pa.table({"part": [0], "video_id": ["a"], "path": [str(path)]}).take([0] * _VIDEOS_PER_ROUND)
    decoded, expected = _decoded(part, resolution), reference_clips(str(path), resolution)
    same = bool(_clips_of(decoded, resolution).equal(expected))
    del expected
    ours, pixels, whole = [], [], []
    for _ in range(rounds):
        began = _processor_seconds()
        _decoded(part, resolution)
        ours.append((_processor_seconds() - began) / _VIDEOS_PER_ROUND)
        marks = [time.process_time()]
        reference_clips(str(path), resolution, lambda marks=marks: marks.append(time.process_time()))  # type: ignore[misc]
        pixels.append(marks[1] - marks[0])
        whole.append(time.process_time() - marks[0])
        on_round()
    return DecodingMeasured(path.name, decoded["size"][0].as_py()[0], min(ours), min(pixels), min(whole), same)


def _decoded(part: pa.Table, resolution: int) -> pa.Table:
    """What a decoding task gives: here with the decoding process that it starts."""
    decoded = decode_part(part, DecodingConfig(), CLIPS, resolution)
    if reason := decoded["reason"][0].as_py():
        raise ValueError(f"{part['path'][0].as_py()}: {reason}")
    return decoded


def _clips_of(decoded: pa.Table, resolution: int) -> Tensor:
    pixels = np.frombuffer(decoded["pixels"][0].as_buffer(), np.uint8).copy()
    frames = torch.from_numpy(pixels).view(*decoded["size"][0].as_py(), 3)
    positions = torch.tensor(decoded["clips"][0].as_py()).view(CLIPS.segments, -1)
    return evaluation_clips(frames, positions, VIEWS, resolution=resolution, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def _processor_seconds() -> float:
    """Of this process and of those that it has started."""
    process = psutil.Process()
    return sum(sum(p.cpu_times()[:2]) for p in [process, *process.children(recursive=True)])


def reference_clips(path: str, crop: int, on_pixels: Callable[[], None] | None = None) -> Tensor:
    """float32[3, S, 3, T, R, R]: three views of every clip, read as the reference reads them."""
    reader = open_video(path, DecodingConfig())
    plan = clip_indices(
        len(reader), segments=CLIPS.segments, frames_per_clip=CLIPS.frames_per_clip, frame_step=CLIPS.frame_step
    )
    frames = reader.get_batch(plan.reshape(-1)).asnumpy()
    clips = [_resized(clip, crop) for clip in np.split(frames, CLIPS.segments)]
    if on_pixels is not None:
        on_pixels()
    mean, std = (torch.tensor(values).view(3, 1, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    views = []
    for view in range(3):
        height, width = clips[0].shape[1:3]
        start = view * ((max(height, width) - crop) // 2)
        top, left = (start, 0) if height > width else (0, start)
        squares = (torch.from_numpy(clip[:, top : top + crop, left : left + crop]) for clip in clips)
        views.append(torch.stack([(square.permute(3, 0, 1, 2).float() / 255 - mean) / std for square in squares]))
    return torch.stack(views)


def _resized(clip: Frames, crop: int) -> npt.NDArray[np.uint8]:
    height, width = resized_size(clip.shape[1], clip.shape[2], crop)
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR) for frame in clip])
