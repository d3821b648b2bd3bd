"""Frames in order from an open video, resized on the way, without a copy of a frame at its full size."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import numpy as np

from distributed.clips import Indices
from distributed.cropping import Crop
from distributed.shared_frames import Frames, Shape, fill

_LONGEST_WALK = 300  # frames; to go further, seeking is faster


class InOrder:
    """Frames of decord's reader by ascending number, each as the decoder has left it, without a copy.

    decord seeks whenever it is asked to go past a key frame, which costs time and, where a key frame does not close
    the group before it (open H.264 groups, MPEG-4 with B-frames), gives other frames. So key frames are read.
    """

    def __init__(self, reader: Any) -> None:
        self.reader = reader
        self._keys: list[int] = reader.get_key_indices()
        self._next = 0

    def frame(self, number: int) -> Frames:
        """`uint8[H, W, 3]`, read-only.

        Raises:
            RuntimeError: the video ends before it.
        """
        if not 0 <= number - self._next <= _LONGEST_WALK:
            self.reader.seek_accurate(number)
            self._next = number
        for key in self._keys[bisect_right(self._keys, self._next) : bisect_right(self._keys, number)]:
            self._skip_to(key - 1)
            self.reader.next()
            self._next = key
        self._skip_to(number)
        self._next = number + 1
        try:
            return np.asarray(np.from_dlpack(_Lent(self.reader.next())), np.uint8)
        except StopIteration as error:
            raise RuntimeError(f"it ends before frame {number} of the {len(self.reader)} that it promises") from error

    def _skip_to(self, number: int) -> None:
        if number > self._next:
            self.reader.skip_frames(number - self._next)


class _Lent:
    """decord's array as numpy asks for it: its `asnumpy` would copy the frame."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __dlpack__(self, **_: Any) -> Any:
        return self._array.to_dlpack()

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # the CPU's memory


def resize_frames(video: InOrder, needed: Indices, short_side: int, place: str, crop: Crop | None = None) -> Shape:
    """Leave the needed frames at `place`, resized as the reference resizes: OpenCV's bilinear filter.

    `crop` is cut out before. One frame at a time lies in memory at its full size.
    """
    import cv2  # here, so that only the decoding process loads it

    cv2.setNumThreads(1)
    out: Frames | None = None
    for index, number in enumerate(needed.tolist()):
        frame = video.frame(number)
        if crop is not None:
            frame = crop.cut(frame)
        height, width = resized_size(frame.shape[0], frame.shape[1], short_side)
        if out is None:
            out = fill(place, (len(needed), height, width, 3))
        if (height, width) == frame.shape[:2]:
            out[index] = frame
        else:
            cv2.resize(frame, (width, height), dst=out[index], interpolation=cv2.INTER_LINEAR)
    assert out is not None, "a plan always needs a frame"
    return out.shape[0], out.shape[1], out.shape[2], out.shape[3]


def resized_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) in pixels once the short side is `short_side`; the other side is truncated.

    A frame whose short side is that long already keeps its size.
    """
    if width < height:
        return int(short_side * height / width), short_side
    return short_side, int(short_side * width / height)
