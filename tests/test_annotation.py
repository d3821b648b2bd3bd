"""An annotated video has every frame of its source, with the probabilities of the nearest window drawn in."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from distributed.annotation import annotate_video, draw_probabilities
from distributed.errors import UserError
from distributed.predictor import WindowScores
from tests.conftest import WriteVideo
from tests.test_container import write_shown

NAMES = ("fröhlich", "sad")
# The first window's middle is at 0.2 s, the second's at 0.6 s: frame 12 of 30 a second lies between them.
SCORES = WindowScores(np.array([0.0, 0.4]), np.array([0.4, 0.8]), np.array([[0.9, 0.1], [0.1, 0.9]], np.float32))


def frames_of(path: Path) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_bars_are_as_long_as_the_probabilities_and_the_likeliest_is_coloured() -> None:
    frame = np.full((240, 320, 3), 200, np.uint8)
    draw_probabilities(frame, np.array([0.75, 0.25], np.float32), NAMES)
    orange, grey = (np.all(frame == color, axis=2) for color in ((240, 170, 60), (150, 160, 170)))
    lengths = [int(found.any(axis=0).sum()) for found in (orange, grey)]
    assert lengths[0] == pytest.approx(3 * lengths[1], abs=3) and lengths[1] > 10
    assert np.flatnonzero(orange.any(axis=1)).max() < np.flatnonzero(grey.any(axis=1)).min()
    assert (frame[-1] == 200).all() and (frame[0, 0] == 70).all()  # a darker panel, the rest as it was


def test_every_frame_is_there_with_the_window_that_is_nearest(tmp_path: Path, write_video: WriteVideo) -> None:
    source, target = write_video(tmp_path / "a.mp4", frames=24, width=320, height=240), tmp_path / "b.mp4"
    annotate_video(str(source), target, SCORES, NAMES)
    frames = frames_of(target)
    assert len(frames) == 24 and frames[0].shape == (240, 320, 3)
    expected = np.zeros((240, 320, 3), np.uint8)
    draw_probabilities(expected, SCORES.probabilities[0], NAMES)
    long, short = (np.argwhere(np.all(expected == color, axis=2)) for color in ((240, 170, 60), (150, 160, 170)))
    end = long[long[:, 1] == long[:, 1].max() - 3].mean(axis=0).astype(int)  # inside the long bar, near its end
    other = (int(short[:, 0].mean()), end[1])  # the same column in the short bar's row
    for number, frame in enumerate(frames):
        bright, dark = (frame[end[0], end[1]], frame[other]) if number < 12 else (frame[other], frame[end[0], end[1]])
        assert np.abs(bright.astype(int) - (240, 170, 60)).max() < 60, number
        assert np.abs(dark.astype(int) - (240, 170, 60)).max() > 60, number
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    ("turn", "size", "lower_right"),
    [
        ((1, 0, 0, 1), (64, 96), (0, 0, 0)),
        ((0, 1, -1, 0), (96, 64), (0, 255, 0)),
        ((-1, 0, 0, -1), (64, 96), (255, 0, 0)),
        ((0, -1, 1, 0), (96, 64), (0, 0, 255)),
    ],
)
def test_a_video_that_lies_on_its_side_is_written_upright(
    tmp_path: Path, turn: tuple[int, int, int, int], size: tuple[int, int], lower_right: tuple[int, int, int]
) -> None:
    annotate_video(str(write_shown(tmp_path / "a.mp4", turn)), tmp_path / "b.mp4", SCORES, NAMES)
    frame = frames_of(tmp_path / "b.mp4")[0]
    assert frame.shape[:2] == size
    assert np.abs(frame[-8, -8].astype(int) - lower_right).max() < 20


def test_what_cannot_be_written_is_refused(tmp_path: Path, write_video: WriteVideo) -> None:
    source = write_video(tmp_path / "a.mp4")
    with pytest.raises(UserError, match="let its name end in .mp4"):
        annotate_video(str(source), tmp_path / "b.avi", SCORES, NAMES)
    with pytest.raises(UserError, match="is the video itself"):
        annotate_video(str(source), source, SCORES, NAMES)
    (tmp_path / "c.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match=r"c.mp4: could not be written to .*d.mp4"):
        annotate_video(str(tmp_path / "c.mp4"), tmp_path / "d.mp4", SCORES, NAMES)
    assert not (tmp_path / "d.mp4").exists() and not list(tmp_path.glob(".writing*"))
