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
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
from pebble import ProcessExpired, ProcessPool
from pyarrow import fs
from pydantic import BaseModel, ConfigDict, Field

from distributed.clips import ClipsConfig, Indices, clip_indices, training_indices
from distributed.container import Source, UnusableError, read_header
from distributed.cropping import Crop, NoFaceError
from distributed.errors import UserError
from distributed.frame_reader import InOrder, resize_frames
from distributed.frame_reader import resized_size as resized_size
from distributed.shared_frames import Frames as Frames
from distributed.shared_frames import Shape, SharedFrames
from distributed.storage import Storage

T = TypeVar("T")

_LFS_MARK = b"version https://git-lfs"


class DecodingConfig(BaseModel):
    """How decoding defends itself. What is larger or longer is a failure, found before a frame is decoded."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    deadline_s: float = Field(60.0, gt=0, description="seconds after which a video's decoder is killed")
    max_pixels: int = Field(36_000_000, ge=1, description="most pixels of a frame; 8K has 33 million")
    max_seconds: float = Field(4 * 3600.0, gt=0, description="most seconds that a video lasts")
    max_frames: int = Field(1_000_000, ge=1, description="most frames of a video")


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
class _Planned:
    """A `DecodedVideo` whose frames, of this shape, lie in shared memory."""

    shape: Shape
    clips: Indices
    num_frames: int
    training_clips: Indices


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
        self._config = config
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
        with closing(SharedFrames()) as shared:
            found = self._run(_decode, path, clips, short_side, tuple(seeds), crop, shared.place)
            if isinstance(found, DecodeFailure):
                return found
            return DecodedVideo(shared.take(found.shape), found.clips, found.num_frames, found.training_clips)

    def inspect(self, path: str) -> VideoInfo | DecodeFailure:
        """The length of a video, whose file stays open for `frames`."""
        return self._run(_inspect, path)

    def frames(self, path: str, numbers: Indices, short_side: int, crop: Crop | None = None) -> Frames | DecodeFailure:
        """Some frames of a video, `uint8[F, H, W, 3]`, in the ascending order of their `numbers`.

        Asked for piece after piece, a long video is read through once, and the deadline holds for each piece.
        """
        with closing(SharedFrames()) as shared:
            found = self._run(_some_frames, path, numbers, short_side, crop, shared.place)
            return found if isinstance(found, DecodeFailure) else shared.take(found)

    def _run(self, work: Callable[..., T | DecodeFailure], path: str, *arguments: Any) -> T | DecodeFailure:
        try:
            return self._schedule(work, path, *arguments)
        except BrokenProcessPool:  # somebody killed the process between two videos: not this one's fault
            self.close()
            self._pool = _start_pool()
            return self._schedule(work, path, *arguments)

    def _schedule(self, work: Callable[..., T | DecodeFailure], path: str, *arguments: Any) -> T | DecodeFailure:
        future = self._pool.schedule(work, args=(path, self._config, *arguments), timeout=self._config.deadline_s)
        try:
            result: T | DecodeFailure = future.result()
        except FutureTimeout:
            return DecodeFailure(
                f"the decoder gave no answer within {self._config.deadline_s:g} s and was killed; "
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


def _decode(
    path: str,
    limits: DecodingConfig,
    clips: ClipsConfig,
    short_side: int,
    seeds: Sequence[int],
    crop: Crop | None,
    place: str,
) -> _Planned | DecodeFailure:
    def work() -> _Planned:
        video = InOrder(open_video(path, limits))
        length = len(video.reader)
        clean = clip_indices(
            length, segments=clips.segments, frames_per_clip=clips.frames_per_clip, frame_step=clips.frame_step
        )
        plans = np.concatenate([clean[None], training_indices(length, clips, seeds)])
        needed, positions = np.unique(plans, return_inverse=True)
        places = positions.reshape(plans.shape).astype(np.int64)
        shape = resize_frames(video, needed, short_side, place, crop)
        return _Planned(shape, places[0], length, places[1:])

    return _explained(work)


def _inspect(path: str, limits: DecodingConfig) -> VideoInfo | DecodeFailure:
    def work() -> VideoInfo:
        _kept_open.cache_clear()  # the file may be another one since
        reader = _kept_open(path, limits).reader
        return VideoInfo(len(reader), float(reader.get_avg_fps()))

    return _explained(work)


def _some_frames(
    path: str, limits: DecodingConfig, numbers: Indices, short_side: int, crop: Crop | None, place: str
) -> Shape | DecodeFailure:
    return _explained(lambda: resize_frames(_kept_open(path, limits), numbers, short_side, place, crop))


def _explained(work: Callable[[], T]) -> T | DecodeFailure:
    """What `work` gives or, when it meets a bad file, the reason in words."""
    import decord  # here, so that only the decoding process loads ffmpeg

    decord.logging.set_level(decord.logging.FATAL)
    try:
        return work()
    except (UnusableError, NoFaceError) as error:
        return DecodeFailure(str(error))
    except (RuntimeError, decord.DECORDError, av.error.FFmpegError) as error:
        return DecodeFailure(f"not a video that can be decoded ({_normalised(error)}); re-encode or remove it")
    except FileNotFoundError:
        return DecodeFailure("the file does not exist; restore it or remove its row")
    except OSError as error:
        return DecodeFailure(f"the file cannot be read ({_normalised(error)}); check its permissions")


def open_video(path: str, limits: DecodingConfig) -> Any:
    """decord's reader of a whole video. It may hang for ever: `Decoder` is for whatever comes from users.

    Raises:
        OSError: the file cannot be opened.
        UnusableError: it is no whole video, or larger than the limits.
    """
    import decord

    source = _source(path)
    header = read_header(source, max_pixels=limits.max_pixels, max_seconds=limits.max_seconds)
    if isinstance(source, io.BytesIO):
        source.seek(0)
    reader = decord.VideoReader(str(source) if isinstance(source, Path) else source, num_threads=1)
    if len(reader) < 1:
        raise UnusableError("the video has no frames; re-encode or remove it")
    if len(reader) > limits.max_frames:
        raise UnusableError(
            f"it has {len(reader)} frames, and decoding.max_frames is {limits.max_frames}; cut the video, or raise "
            "the limit"
        )
    # decord takes what is there of a file that was cut short for the whole video. Where frames come at uneven times,
    # their number does not tell how long they last.
    decoded_s = max(
        len(reader) / max(reader.get_avg_fps(), 1e-6), float(reader.get_frame_timestamp(len(reader) - 1)[1])
    )
    # Half a second and a tenth are left to rounding, and to sound that goes on after the pictures.
    if decoded_s + 0.5 < 0.9 * header.seconds:
        missing = f"{decoded_s:.1f} s of pictures where its header promises {header.seconds:.1f} s"
        raise UnusableError(f"the file is truncated ({missing}); copy it again")
    return reader


@functools.lru_cache(maxsize=1)
def _kept_open(path: str, limits: DecodingConfig) -> InOrder:
    """The video that is being read piece by piece."""
    return InOrder(open_video(path, limits))


def _source(path: str) -> Source:
    """Something that decord opens.

    Raises:
        OSError: the file cannot be opened.
        UnusableError: it cannot be a video.
    """
    try:
        filesystem, name = Storage(path).resolve()
    except UserError as error:
        why = _normalised(error.__cause__ or error)
        raise UnusableError(f"not a place that can be read ({why}); copy the file here") from error
    local = isinstance(filesystem, fs.LocalFileSystem)
    with filesystem.open_input_stream(name) as stream:
        data = bytes(stream.read(len(_LFS_MARK)) if local else stream.read())
    if not data:
        raise UnusableError("the file is empty; copy it again")
    if data.startswith(_LFS_MARK):
        raise UnusableError("a Git LFS stub stands in for the video; run `git lfs pull` in the dataset's folder")
    return Path(name) if local else io.BytesIO(data)


def _normalised(error: BaseException) -> str:
    """The last line of decord's message without its time stamp and source path: the same on every machine."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    text = re.sub(r"\[[0-9:]+\]\s*\S*?/?[\w./-]+\.(?:cc|h):\d+:\s*", "", lines[0] if lines else "no message")
    text = re.sub(r"\S*/(\S+)", r"\1", text)
    return re.sub(r"\s+", " ", text).strip()[:200]
