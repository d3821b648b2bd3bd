"""Frames that a child process leaves where its parent finds them: no pipe, no pickle, no copy.

The memory belongs to no folder on Linux, so that it is freed with its last user even where one of them is killed.
"""

from __future__ import annotations

import math
import mmap
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]
Shape = tuple[int, int, int, int]


class SharedFrames:
    """Room for the frames of one video, made by the parent; the child fills what `place` names."""

    def __init__(self) -> None:
        if sys.platform == "linux":
            self._file = open(os.memfd_create("frames"), "r+b")  # noqa: SIM115, PTH123
            self.place = f"/proc/{os.getpid()}/fd/{self._file.fileno()}"
        else:
            self._file = tempfile.NamedTemporaryFile()  # type: ignore[assignment]  # noqa: SIM115
            self.place = str(self._file.name)

    def close(self) -> None:
        """Give the room back; frames that were taken stay for as long as somebody uses them."""
        self._file.close()

    def take(self, shape: Shape) -> Frames:
        """The child's frames, `uint8[F, H, W, 3]`, writable."""
        return _mapped(self._file.fileno(), shape)


def fill(place: str, shape: Shape) -> Frames:
    """Frames `uint8[F, H, W, 3]` to be written, in the memory that a parent's `SharedFrames` has named.

    Raises:
        OSError: there is no such place, or no room for them.
    """
    with Path(place).open("r+b") as file:
        file.truncate(math.prod(shape))
        return _mapped(file.fileno(), shape)


def _mapped(descriptor: int, shape: Shape) -> Frames:
    return np.frombuffer(mmap.mmap(descriptor, math.prod(shape)), np.uint8).reshape(shape)
