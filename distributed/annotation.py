"""A video written again with its class probabilities drawn into every frame."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from distributed.decoding import Frames
from distributed.errors import UserError
from distributed.predictor import WindowScores
from distributed.scoring import Probabilities

_TEXT, _BAR, _AHEAD = (255, 255, 255), (150, 160, 170), (240, 170, 60)  # red, green, blue


def annotate_video(source: str, target: Path, scores: WindowScores, names: Sequence[str]) -> None:
    """Write `source` as H.264 without its sound; a frame shows the window whose middle is nearest to it.

    Frame by frame: memory does not grow with the video. The file appears whole or not at all.

    Raises:
        UserError: the source is no local video, or the target cannot be written or is no .mp4 file.
    """
    if target.suffix.lower() != ".mp4":
        raise UserError(f"{target}: the annotated video is an MP4 file; let its name end in .mp4")
    if target.exists() and target.samefile(source):
        raise UserError(f"{target}: is the video itself; give another name")
    part = target.with_name(f".writing-{uuid.uuid4().hex}.mp4")
    middles = (scores.starts + scores.stops) / 2
    try:
        with av.open(source) as video, av.open(str(part), "w") as output:
            _write_frames(video, output, middles, scores.probabilities, names)
        part.replace(target)
    except (OSError, av.error.FFmpegError) as error:
        raise UserError(f"{source}: could not be written to {target} ({error}); check both files") from error
    finally:
        part.unlink(missing_ok=True)


def _write_frames(
    video: Any, output: Any, middles: np.ndarray[Any, Any], probabilities: Probabilities, names: Sequence[str]
) -> None:
    stream = video.streams.video[0]
    rate = Fraction(stream.average_rate or 25)
    written = None
    for number, frame in enumerate(video.decode(stream)):
        # As it is shown: phones store videos on their side, and say in the header how to turn them.
        pixels = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
        if written is None:
            written = output.add_stream("libx264", rate=rate)
            # H.264 stores colours for two by two pixels.
            written.width, written.height, written.pix_fmt = (
                pixels.shape[1] // 2 * 2,
                pixels.shape[0] // 2 * 2,
                "yuv420p",
            )
        pixels = np.ascontiguousarray(pixels[: written.height, : written.width])
        nearest = int(np.abs(middles - number / rate).argmin())
        draw_probabilities(pixels, probabilities[nearest], names)
        output.mux(written.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
    if written is not None:
        output.mux(written.encode())


def draw_probabilities(frame: Frames, probabilities: Probabilities, names: Sequence[str]) -> None:
    """Draw a bar a class, the likeliest in colour, into the upper left corner of uint8[H, W, 3]."""
    height, width = frame.shape[:2]
    line = max(8, min(height // 18, height // (len(names) + 1)))
    font, size = cv2.FontFace("sans"), max(7, round(0.68 * line))
    longest = max(cv2.getTextSize((0, 0), name, (0, 0), font, size, 400)[2] for name in names)
    left, bar = longest + line, max(10, min(width // 4, width - longest - 2 * line))
    panel = frame[: line * len(names) + line // 2, : left + bar + line // 2]
    panel[:] = (0.35 * panel).astype(np.uint8)  # darker, so that the letters stand out on any picture
    for row, (name, value) in enumerate(zip(names, probabilities.tolist(), strict=True)):
        top = line // 4 + row * line
        color = _AHEAD if row == int(probabilities.argmax()) else _BAR
        cv2.putText(frame, name, (line // 2, top + round(0.76 * line)), _TEXT, font, size, 400)
        right = left + round(bar * value)
        cv2.rectangle(frame, (left, top + line // 5), (right, top + line - line // 5), color, cv2.FILLED)
