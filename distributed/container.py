"""What a video file says of itself before any of it is decoded for use: size, duration, and how it wants to be shown.

decord reads a whole file when it opens it and ignores some of what its header asks for. So PyAV looks first.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import av
from av.sidedata.sidedata import Type as SideData

Source = io.BytesIO | Path
# The quarter turns, as the upper left corner of a display matrix: decord makes them, in MP4 and MOV files alone.
_UPRIGHT = (1, 0, 0, 1)
_TURNS = (_UPRIGHT, (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0))


class UnusableError(Exception):
    """The message is the reason why a file gives no frames, and the fix."""


@dataclass(frozen=True)
class Header:
    """`width` and `height` in pixels as they are stored, `seconds` as promised, 0 where the file does not say."""

    width: int
    height: int
    seconds: float


def read_header(source: Source, *, max_pixels: int, max_seconds: float) -> Header:
    """What the container of a video says, once it is sure that its frames are of a size and a number to be decoded.

    Raises:
        UnusableError: there are no pictures or too large ones, the video is too long, or decord would not show it
            upright.
        FFmpegError: it is no video.
    """
    if isinstance(source, io.BytesIO):
        source.seek(0)
    with av.open(str(source) if isinstance(source, Path) else source) as container:
        stream = container.streams.best("video")
        if stream is None:
            raise UnusableError("the file holds no pictures; remove its row")
        header = Header(stream.width, stream.height, _seconds(container, stream))
        _check_limits(header, max_pixels, max_seconds)
        stream.codec_context.thread_count = 1
        matrix = _display_matrix(container, stream)
        if matrix not in (_TURNS if "mov" in container.format.name else (_UPRIGHT,)):
            raise UnusableError(
                f"its header asks to show it turned or mirrored in a way that decoding does not do (display matrix "
                f"{matrix} in {container.format.name}); re-encode it upright: ffmpeg -i VIDEO NEW.mp4"
            )
    return header


def _check_limits(header: Header, max_pixels: int, max_seconds: float) -> None:
    if header.width * header.height > max_pixels:
        raise UnusableError(
            f"its pictures have {header.width} x {header.height} pixels, and decoding.max_pixels is {max_pixels}; "
            "scale the video down, or raise the limit"
        )
    if header.seconds > max_seconds:
        raise UnusableError(
            f"it lasts {header.seconds:.0f} s, and decoding.max_seconds is {max_seconds:g}; cut the video, or raise "
            "the limit"
        )


def _seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return float((container.duration or 0) / av.time_base)


def _display_matrix(container: av.container.InputContainer, stream: av.VideoStream) -> tuple[float, ...]:
    """The part of the first frame's display matrix that turns and mirrors: (1, 0, 0, 1) is as it is stored.

    Raises:
        UnusableError: there is no frame.
    """
    for frame in container.decode(stream):
        found = frame.side_data.get(SideData.DISPLAYMATRIX)
        if found is None:
            return _UPRIGHT
        a, b, _, c, d = struct.unpack_from("5i", bytes(found))
        return tuple(round(value / 65536, 3) for value in (a, b, c, d))
    raise UnusableError("the video has no frames; re-encode or remove it")
