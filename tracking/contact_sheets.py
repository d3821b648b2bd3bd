"""Frames of videos side by side, and heat over them: figures for the report and single files."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tracking.drawing import INK, WIDTH, message, style

Pixels = npt.NDArray[np.uint8]
Heat = npt.NDArray[np.float32]

_GAP = 3  # pixels between two frames
_LABELS = 1.08  # inches for the rows' names where they have some
_COLOURS = "inferno"


@dataclass(frozen=True)
class ShownVideo:
    """A test video, what its fold's probe said of it, and where that looked.

    `frames` is uint8[n, H, W, 3]; `heats` float[rows, n, H, W] with a name per row, 1 where a row is brightest in
    the whole video, no rows where there is no attention to show.
    """

    video_id: str
    fold: int
    true: str
    predicted: str
    probability: float
    probability_of_true: float
    frames: Pixels
    heats: Heat
    row_names: Sequence[str] = ()
    uniform: bool = False
    reason: str = ""

    @property
    def verdict(self) -> str:
        """What was said, in words."""
        share = f"{100 * self.probability:.0f} %"
        if self.true == self.predicted:
            return f"{self.true}, recognised ({share})"
        return f"{self.true}, taken for {self.predicted} ({share})"


def overlay(frames: Pixels, heats: Heat) -> Pixels:
    """Frames uint8[n, H, W, 3] in grey with their heat float[n, H, W], from 0 to 1, in colour.

    One scale holds for all frames, so that a grey frame is one that got little.
    """
    grey = frames.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    share = heats.clip(0, 1)
    colour = mpl.colormaps[_COLOURS](0.15 + 0.85 * share)[..., :3] * 255
    strength = (0.7 * np.sqrt(share))[..., None]  # the face stays visible below the brightest patch
    mixed: Pixels = ((1 - strength) * (50 + 0.7 * grey[..., None]) + strength * colour).round().astype(np.uint8)
    return mixed


def strip(frames: Pixels, between: int = 255) -> Pixels:
    """Frames uint8[n, H, W, C] side by side, white between them: uint8[H, n * W + gaps, C]."""
    gap = np.full((frames.shape[1], _GAP, frames.shape[3]), between, np.uint8)
    parts = [part for frame in frames for part in (frame, gap)]
    return np.concatenate(parts[:-1], axis=1)


def clear_strip(frames: Pixels) -> Pixels:
    """Frames uint8[n, H, W, 3] side by side, the page's own colour between them: uint8[H, n * W + gaps, 4]."""
    return strip(np.concatenate([frames, np.full_like(frames[..., :1], 255)], axis=-1), between=0)


def attention_sheet(video: ShownVideo, width: float = WIDTH) -> Figure:
    """A video's frames in a row, below them the same under each row's attention; `width` is in inches."""
    title = f"Attention on {video.video_id}"
    if not len(video.heats):
        return message(title, f"No attention to draw: {without_attention(video)}")
    strips = [clear_strip(video.frames), *(clear_strip(overlay(video.frames, heat)) for heat in video.heats)]
    return _sheet(title, strips, ["frames", *video.row_names], f"{video.video_id}\n{video.verdict}", width=width)


def without_attention(video: ShownVideo) -> str:
    """Why a video has no attention."""
    if video.uniform:
        return f"the probe of fold {video.fold} reads the mean of the tokens, so every token has the same weight."
    return f"{video.video_id}: {video.reason}"


def frames_sheet(title: str, videos: Sequence[ShownVideo]) -> Figure:
    """Some frames of each video in a row, beside what was said of it; videos without frames are left out."""
    shown = [video for video in videos if len(video.frames)]
    if not shown:
        return message(title, "None of the videos can be decoded from where they were.")
    captions = [f"{video.verdict} · {video.video_id}" for video in shown]
    return _sheet(title, [clear_strip(video.frames) for video in shown], captions=captions)


def _sheet(
    title: str,
    strips: Sequence[Pixels],
    names: Sequence[str] = (),
    head: str = "",
    captions: Sequence[str] = (),
    width: float = WIDTH,
) -> Figure:
    """Strips one above the other, each with a name at its left or a caption above it."""
    left = _LABELS if names else 0.0
    wide = width - left - 0.1
    heights = [wide * picture.shape[0] / picture.shape[1] for picture in strips]
    caption, top, gap = (0.2 if captions else 0.0), (0.42 if head else 0.05), 0.07
    total = top + sum(heights) + len(strips) * (gap + caption)
    with style():
        figure = Figure(figsize=(width, total))
        figure.set_label(title)
        if head:
            figure.text(left / width, 1 - 0.05 / total, head, va="top", color=INK, size=9, linespacing=1.35)
        below = total - top
        for number, (picture, height) in enumerate(zip(strips, heights, strict=True)):
            below -= height + caption
            axes = figure.add_axes((left / width, below / total, wide / width, height / total))
            _picture(axes, picture, names[number] if names else "")
            if captions:
                place = (0, 1 + 0.04 / height)
                axes.text(*place, captions[number], transform=axes.transAxes, size=8, color=INK, va="bottom")
            below -= gap
    return figure


def _picture(axes: Axes, picture: Pixels, name: str) -> None:
    axes.set_axis_off()
    axes.imshow(picture, aspect="auto")
    axes.annotate(
        name,
        (0, 0.5),
        (-6, 0),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        va="center",
        size=8,
        linespacing=1.25,
    )
