"""Path and clip plan to uint8 frames, or the reason why not. The only file that touches decord.

decord can raise, crash, or hang for ever inside native code while it holds the interpreter's lock, so it
works in a child process that is killed after a deadline (pebble); the worker itself always survives.
"""

from __future__ import annotations

import ctypes
import functools
import io
import multiprocessing
import re
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
import numpy.typing as npt
from pebble import ProcessExpired, ProcessPool
from pyarrow import fs
from pydantic import BaseModel, ConfigDict, Field

from distributed.clips import ClipsConfig, Indices, clip_indices, training_indices
from distributed.cropping import Crop, NoFaceError

Frames = npt.NDArray[np.uint8]
T = TypeVar("T")

_LFS_MARK = b"version https://git-lfs"
# Frames are decoded a few at a time, so that a worker never holds a whole video at its full size.
_CHUNK = 16


class DecodingConfig(BaseModel):
    """How decoding defends itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    deadline_s: float = Field(60.0, gt=0, description="seconds after which a video's decoder is killed")


@dataclass(frozen=True)
class DecodedVideo:
    """The distinct frames that a clip plan needs, each decoded once, in order.

    `frames` is `uint8[F, H, W, 3]`, resized; `clips` is `int64[segments, frames_per_clip]`, positions in
    `frames`, and `training_clips` `int64[passes, segments, frames_per_clip]` likewise; `num_frames` counts the frames
    of the whole video.
    """

    frames: Frames
    clips: Indices
    num_frames: int
    training_clips: Indices = field(default_factory=lambda: np.zeros((0, 1, 1), np.int64))


@dataclass(frozen=True)
class VideoInfo:
    """How long a video is; `fps` is in frames a second."""

    num_frames: int
    fps: float


@dataclass(frozen=True)
class DecodeFailure:
    """Why a video gave no frames, in words that a person can act on."""

    reason: str


class Decoder:
    """A decoding process that can be killed. It starts with the first video; `close` ends it."""

    def __init__(self, config: DecodingConfig) -> None:
        self._deadline_s = config.deadline_s
        self._pool = _start_pool()

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._pool.stop()
        self._pool.join()

    def decode(
        self, path: str, clips: ClipsConfig, short_side: int, seeds: Sequence[int] = (), crop: Crop | None = None
    ) -> DecodedVideo | DecodeFailure:
        """Decode what the evaluation plan of `clips` needs, the short side resized to `short_side` pixels.

        `seeds` are those of as many training plans, whose frames come too; `crop` is cut out before resizing.
        """
        return self._run(_decode, path, clips, short_side, tuple(seeds), crop)

    def inspect(self, path: str) -> VideoInfo | DecodeFailure:
        """The length of a video, whose file stays open for `frames`."""
        return self._run(_inspect, path)

    def frames(self, path: str, numbers: Indices, short_side: int, crop: Crop | None = None) -> Frames | DecodeFailure:
        """Some frames of a video, `uint8[F, H, W, 3]`, in the ascending order of their `numbers`.

        Asked for piece after piece, a long video is read through once, and the deadline holds for each piece.
        """
        return self._run(_some_frames, path, numbers, short_side, crop)

    def _run(self, work: Callable[..., T | DecodeFailure], path: str, *arguments: Any) -> T | DecodeFailure:
        try:
            return self._schedule(work, path, *arguments)
        except BrokenProcessPool:  # somebody killed the process between two videos: not this one's fault
            self.close()
            self._pool = _start_pool()
            return self._schedule(work, path, *arguments)

    def _schedule(self, work: Callable[..., T | DecodeFailure], path: str, *arguments: Any) -> T | DecodeFailure:
        future = self._pool.schedule(work, args=(path, *arguments), timeout=self._deadline_s)
        try:
            result: T | DecodeFailure = future.result()
        except FutureTimeout:
            return DecodeFailure(
                f"the decoder gave no answer within {self._deadline_s:g} s and was killed; "
                "re-encode the video, or raise decoding.deadline_s if it is very long"
            )
        except ProcessExpired as error:
            return DecodeFailure(f"the decoder crashed (exit code {error.exitcode}); re-encode or remove the file")
        return result


def _start_pool() -> ProcessPool:
    # A forked child of a threaded worker can inherit a held lock; a spawned one cannot.
    context: Any = multiprocessing.get_context("spawn")
    return ProcessPool(max_workers=1, initializer=_die_with_parent, context=context)


def _die_with_parent() -> None:
    """A hung decoder must not outlive a killed worker; only Linux can promise that."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


class _UnusableError(Exception):
    """The message is the reason why a file gives no frames."""


def _decode(
    path: str, clips: ClipsConfig, short_side: int, seeds: Sequence[int], crop: Crop | None
) -> DecodedVideo | DecodeFailure:
    def work() -> DecodedVideo:
        reader = _open(path)
        clean = clip_indices(
            len(reader), segments=clips.segments, frames_per_clip=clips.frames_per_clip, frame_step=clips.frame_step
        )
        plans = np.concatenate([clean[None], training_indices(len(reader), clips, seeds)])
        needed, positions = np.unique(plans, return_inverse=True)
        places = positions.reshape(plans.shape).astype(np.int64)
        return DecodedVideo(_resized(reader, needed, short_side, crop), places[0], len(reader), places[1:])

    return _explained(work)


def _inspect(path: str) -> VideoInfo | DecodeFailure:
    def work() -> VideoInfo:
        _kept_open.cache_clear()  # the file may be another one since
        reader = _kept_open(path)
        return VideoInfo(len(reader), float(reader.get_avg_fps()))

    return _explained(work)


def _some_frames(path: str, numbers: Indices, short_side: int, crop: Crop | None) -> Frames | DecodeFailure:
    return _explained(lambda: _resized(_kept_open(path), numbers, short_side, crop))


def _explained(work: Callable[[], T]) -> T | DecodeFailure:
    """What `work` gives or, when it meets a bad file, the reason in words."""
    import decord  # here, so that only the decoding process loads ffmpeg

    decord.logging.set_level(decord.logging.FATAL)
    try:
        return work()
    except (_UnusableError, NoFaceError) as error:
        return DecodeFailure(str(error))
    except (RuntimeError, decord.DECORDError, av.error.FFmpegError) as error:
        return DecodeFailure(f"not a video that can be decoded ({_normalised(error)}); re-encode or remove it")
    except FileNotFoundError:
        return DecodeFailure("the file does not exist; restore it or remove its row")
    except OSError as error:
        return DecodeFailure(f"the file cannot be read ({_normalised(error)}); check its permissions")


def _open(path: str) -> Any:
    """decord's reader of a whole video.

    Raises:
        OSError: the file cannot be opened.
        _UnusableError: it is no whole video.
    """
    import decord

    source = _source(path)
    reader = decord.VideoReader(str(source) if isinstance(source, Path) else source, num_threads=1)
    if len(reader) < 1:
        raise _UnusableError("the video has no frames; re-encode or remove it")
    missing = _missing_seconds(source, len(reader) / max(reader.get_avg_fps(), 1e-6))
    if missing:
        raise _UnusableError(f"the file is truncated ({missing}); copy it again")
    return reader


@functools.lru_cache(maxsize=1)
def _kept_open(path: str) -> Any:
    """The reader of the video that is being read piece by piece."""
    return _open(path)


def _source(path: str) -> io.BytesIO | Path:
    """Something that decord opens.

    Raises:
        OSError: the file cannot be opened.
        _UnusableError: it cannot be a video.
    """
    filesystem, name = fs.FileSystem.from_uri(path) if "://" in path else (fs.LocalFileSystem(), path)
    local = isinstance(filesystem, fs.LocalFileSystem)
    with filesystem.open_input_stream(name) as stream:
        data = bytes(stream.read(len(_LFS_MARK)) if local else stream.read())
    if not data:
        raise _UnusableError("the file is empty; copy it again")
    if data.startswith(_LFS_MARK):
        raise _UnusableError("a Git LFS stub stands in for the video; run `git lfs pull` in the dataset's folder")
    return Path(name) if local else io.BytesIO(data)


def _missing_seconds(source: io.BytesIO | Path, decoded_s: float) -> str:
    """What a file that was cut short lacks, or nothing: decord takes what is there for the whole video."""
    if isinstance(source, io.BytesIO):
        source.seek(0)
    with av.open(str(source) if isinstance(source, Path) else source) as container:
        stream = container.streams.video[0]
        if stream.duration is not None and stream.time_base is not None:
            declared_s = float(stream.duration * stream.time_base)
        else:
            declared_s = (container.duration or 0) / av.time_base
    # Half a second and a tenth are left to rounding, and to sound that goes on after the pictures.
    if decoded_s + 0.5 >= 0.9 * declared_s:
        return ""
    return f"{decoded_s:.1f} s of pictures where its header promises {declared_s:.1f} s"


def _resized(reader: Any, needed: Indices, short_side: int, crop: Crop | None) -> Frames:
    """The needed frames `uint8[F, h, w, 3]`, resized as the reference resizes: OpenCV's bilinear filter."""
    import cv2  # here, for the same reason as decord

    cv2.setNumThreads(1)
    out: Frames | None = None
    for start in range(0, len(needed), _CHUNK):
        batch = reader.get_batch(needed[start : start + _CHUNK]).asnumpy()
        for offset, frame in enumerate(crop.cut(batch) if crop else batch):
            height, width = resized_size(frame.shape[0], frame.shape[1], short_side)
            if out is None:
                out = np.empty((len(needed), height, width, 3), np.uint8)
            if (height, width) == frame.shape[:2]:
                out[start + offset] = frame
            else:
                cv2.resize(frame, (width, height), dst=out[start + offset], interpolation=cv2.INTER_LINEAR)
    assert out is not None, "a plan always needs a frame"
    return out


def resized_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) in pixels once the short side is `short_side`; the other side is truncated.

    A frame whose short side is that long already keeps its size.
    """
    if width < height:
        return int(short_side * height / width), short_side
    return short_side, int(short_side * width / height)


def _normalised(error: Exception) -> str:
    """The last line of decord's message without its time stamp and source path: the same on every machine."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    text = re.sub(r"\[[0-9:]+\]\s*\S*?/?[\w./-]+\.(?:cc|h):\d+:\s*", "", lines[0] if lines else "no message")
    text = re.sub(r"\S*/(\S+)", r"\1", text)
    return re.sub(r"\s+", " ", text).strip()[:200]
