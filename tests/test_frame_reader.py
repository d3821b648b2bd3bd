"""Frames in order are the video's own, whatever its groups of pictures, and none is decoded for nothing."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import decord
import numpy as np
import numpy.typing as npt
import pytest

from distributed import frame_reader
from distributed.frame_reader import InOrder

Pictures = npt.NDArray[np.uint8]
LENGTH = 60
GROUPS = {
    "closed": ("libx264", {"g": "12"}),
    "open": ("libx264", {"g": "9", "x264-params": "open-gop=1:bframes=3"}),
    "mpeg4": ("mpeg4", {"g": "7", "bf": "2"}),
    "one": ("libx264", {}),
}


@pytest.fixture(scope="module", params=GROUPS)
def video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pictures]:
    """A video of these groups of pictures, and its frames by another decoder, read from first to last."""
    codec, options = GROUPS[request.param]
    path = tmp_path_factory.mktemp("groups") / f"{request.param}.mp4"
    picture = np.kron(np.random.default_rng(0).integers(0, 255, (8, 12, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(30000, 1001), options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(LENGTH):
            image = np.roll(picture, 3 * number, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        return path, np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_any_ascending_frames_are_those_of_the_whole_video(video: tuple[Path, Pictures]) -> None:
    path, expected = video
    rng = np.random.default_rng(1)
    for count in (1, 5, 20, LENGTH):
        numbers = np.sort(rng.choice(LENGTH, count, replace=False)).tolist()
        reader = InOrder(decord.VideoReader(str(path), num_threads=1))
        np.testing.assert_array_equal(np.stack([reader.frame(number) for number in numbers]), expected[numbers])


def test_far_and_backwards_it_seeks(video: tuple[Path, Pictures], monkeypatch: pytest.MonkeyPatch) -> None:
    path, expected = video
    if path.stem in ("open", "mpeg4"):
        pytest.skip("decord gives other frames after a seek there")
    monkeypatch.setattr(frame_reader, "_LONGEST_WALK", 10)
    reader = InOrder(decord.VideoReader(str(path), num_threads=1))
    pictures = [reader.frame(number) for number in (2, 50, 51, 3)]
    np.testing.assert_array_equal(np.stack(pictures), expected[[2, 50, 51, 3]])


def test_a_video_shorter_than_it_promises_is_told(video: tuple[Path, Pictures]) -> None:
    reader = InOrder(decord.VideoReader(str(video[0]), num_threads=1))
    for number in range(LENGTH):
        reader.frame(number)
    with pytest.raises(RuntimeError, match="ends before frame 60 of the 60"):
        reader.frame(LENGTH)
