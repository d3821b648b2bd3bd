"""What is known of a file before it is decoded: its size and length against the limits, and how it is shown."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from distributed.container import UnusableError, read_header
from tests.conftest import WriteVideo

LIMITS: dict[str, Any] = {"max_pixels": 36_000_000, "max_seconds": 14400.0}
ONE = 1 << 16


def write_huge(path: Path) -> Path:
    """One frame of 16,000 x 16,000 pixels, black and white, in 32 kB."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=30)
        stream.width, stream.height, stream.pix_fmt = 16000, 16000, "monob"
        frame = av.VideoFrame(16000, 16000, "monob")
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        container.mux([*stream.encode(frame), *stream.encode()])
    return path


def write_long(path: Path, hours: int) -> Path:
    """A frame every half hour."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 600)
        for number in range(2 * hours + 1):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number * 1800 * 600, Fraction(1, 600)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def write_no_frames(path: Path) -> Path:
    with av.open(str(path), "w", options={"movflags": "empty_moov"}) as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return path


def write_shown(path: Path, turn: tuple[int, int, int, int]) -> Path:
    """Frames whose quarters are red, green, blue and black as stored, with a display matrix."""
    a, b, c, d = (value * ONE for value in turn)
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32, :48], picture[:32, 48:], picture[32:, :48] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.set_display_matrix((a, b, 0, c, d, 0, 0, 0, 1 << 30))
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def refused(path: Path, **limits: float) -> str:
    with pytest.raises(UnusableError) as caught:
        read_header(path, **{**LIMITS, **limits})
    return str(caught.value)


def test_an_ordinary_file_says_its_size_and_length(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "a.mp4", frames=60, width=64, height=48)
    header = read_header(path, **LIMITS)
    assert (header.width, header.height) == (64, 48) and header.seconds == pytest.approx(60 * 1001 / 30000, abs=0.01)
    assert read_header(io.BytesIO(path.read_bytes()), **LIMITS) == header


def test_pictures_that_are_too_large_are_refused_and_the_limit_can_be_raised(tmp_path: Path) -> None:
    path = write_huge(tmp_path / "huge.mov")
    assert "16000 x 16000 pixels, and decoding.max_pixels is 36000000; scale the video down" in refused(path)
    assert read_header(path, **{**LIMITS, "max_pixels": 16000 * 16000}).width == 16000


def test_a_video_of_ten_hours_is_refused_and_the_limit_can_be_raised(tmp_path: Path) -> None:
    path = write_long(tmp_path / "long.mp4", hours=10)
    assert "it lasts 36000 s, and decoding.max_seconds is 14400; cut the video, or raise" in refused(path)
    assert read_header(path, **{**LIMITS, "max_seconds": 40000}).seconds == pytest.approx(36000, abs=60)


def test_files_without_pictures_are_named(tmp_path: Path) -> None:
    assert "holds no pictures" in refused(write_sound(tmp_path / "sound.mp4"))
    assert "the video has no frames" in refused(write_no_frames(tmp_path / "none.mp4"))


@pytest.mark.parametrize("turn", [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
def test_quarter_turns_are_made_in_mp4_alone(tmp_path: Path, turn: tuple[int, int, int, int]) -> None:
    assert read_header(write_shown(tmp_path / "a.mp4", turn), **LIMITS).width == 96
    path = write_shown(tmp_path / "a.mkv", turn)
    if turn == (1, 0, 0, 1):
        read_header(path, **LIMITS)
    else:
        assert "turned or mirrored in a way that decoding does not do" in refused(path)


@pytest.mark.parametrize("turn", [(-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0)])
def test_mirrored_videos_are_refused_with_what_mends_them(tmp_path: Path, turn: tuple[int, int, int, int]) -> None:
    assert "re-encode it upright: ffmpeg -i VIDEO NEW.mp4" in refused(write_shown(tmp_path / "a.mp4", turn))
