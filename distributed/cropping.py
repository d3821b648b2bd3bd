"""What is cut from a video's frames before they are resized: a face, the middle, or nothing.

Pure, and without torch: decoding tasks use it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

Box = tuple[float, float, float, float]
Unit = Literal["pixels", "fractions"]


@dataclass(frozen=True)
class FaceConfig:
    """The faces that videos are cut to: `table`, CSV or Parquet, has a row a video with `video_id` or `path` and the
    corners x0, y0, x1, y1 of a box, in `unit`.

    The crop is a square around the box's centre whose side is `margin` times the box's longer one. A video without a
    row is an error before anything starts, or (`missing: fail`) one that cannot be used, as if it could not be decoded.

    Raises ValueError for values that are not possible.
    """

    table: str
    unit: Unit = "pixels"
    margin: float = 1.3
    missing: Literal["error", "fail"] = "error"

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if not (self.margin > 0 and math.isfinite(self.margin)):
            raise ValueError(f"margin is {self.margin}; it must be above 0, such as 1.3")


class NoFaceError(ValueError):
    """A video cannot be cut to its face; the message is the reason."""


@dataclass(frozen=True)
class Crop:
    """One video's: the share `centre` of both sides in the middle or, with a box, a square around it."""

    centre: float = 1.0
    box: Box | None = None
    unit: Unit = "pixels"
    margin: float = 1.0

    def of(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns of a frame, both sides at least one pixel. A square is moved to lie inside the frame, and
        made smaller only where the frame is.

        Raises:
            NoFaceError: the box lies outside of the frame.
        """
        if self.box is None:
            return _middle(height, self.centre), _middle(width, self.centre)
        scale_x, scale_y = (width, height) if self.unit == "fractions" else (1, 1)
        x0, x1, y0, y1 = self.box[0] * scale_x, self.box[2] * scale_x, self.box[1] * scale_y, self.box[3] * scale_y
        if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
            raise NoFaceError(
                f"its face's box ({x0:.0f}, {y0:.0f}) to ({x1:.0f}, {y1:.0f}) lies outside of the frame of "
                f"{width}x{height} pixels; mend its row in the table of faces"
            )
        side = max(1, min(round(self.margin * max(x1 - x0, y1 - y0)), height, width))
        return _span((y0 + y1) / 2, side, height), _span((x0 + x1) / 2, side, width)

    def cut(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """That part of a frame uint8[H, W, 3]; raises NoFaceError as `of`."""
        rows, columns = self.of(frame.shape[0], frame.shape[1])
        return np.ascontiguousarray(frame[rows, columns])


@dataclass(frozen=True)
class Crops:
    """The crops of many videos: one for `every` video, or those of `faces` by the video's id (or path)."""

    every: Crop | None = None
    faces: Mapping[str, Crop] | None = None

    def of(self, video: str) -> Crop | None:
        return self.every if self.faces is None else self.faces.get(video)

    def missing(self, video: str) -> str:
        """Why a video cannot be cut, or nothing."""
        if self.faces is None or video in self.faces:
            return ""
        return "the table of faces has no row for it; add one, or leave the video out"


WHOLE = Crops()


def _middle(size: int, share: float) -> slice:
    kept = max(1, round(size * share))
    start = (size - kept) // 2
    return slice(start, start + kept)


def _span(centre: float, side: int, size: int) -> slice:
    start = min(max(0, round(centre - side / 2)), size - side)
    return slice(start, start + side)
