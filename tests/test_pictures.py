"""Real files of every shape come out upright, whole and in order: portrait, odd, turned, uneven in time, very short."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from distributed.clips import ClipsConfig, clip_indices
from distributed.decoding import DecodedVideo, DecodeFailure, Decoder, DecodingConfig, VideoInfo
from distributed.views import ViewsConfig, evaluation_clips, short_side
from tests.conftest import WriteVideo
from tests.test_container import write_huge, write_no_frames, write_shown

CLIPS = ClipsConfig(segments=2, frames_per_clip=16, frame_step=2)
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(DecodingConfig()) as opened:
        yield opened


def write_ramp(
    path: Path,
    *,
    frames: int = 30,
    width: int = 96,
    height: int = 64,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    pts: Sequence[int] | None = None,
) -> list[npt.NDArray[np.uint8]]:
    """Grey frames that get brighter and move, at times of 1/600 s where they are given; what PyAV decodes of them.

    Grey, since versions of FFmpeg differ in how they enlarge the colours of an odd number of rows.
    """
    picture = np.kron(np.random.default_rng(0).integers(0, 80, (16, 16, 1)), np.ones((8, 8, 3), int))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 600)
        for number in range(frames):
            shown = np.roll(picture, number, axis=1)[:height, :width] + 5 * number
            frame = av.VideoFrame.from_ndarray(shown.astype(np.uint8), format="rgb24")
            if pts is not None:
                frame.pts, frame.time_base = pts[number], Fraction(1, 600)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


UNEVEN = np.cumsum(np.random.default_rng(0).integers(5, 120, 30)).tolist()
PAUSE = [20 * number + 6000 * (number > 14) for number in range(30)]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("portrait.mp4", {"width": 64, "height": 96}),
        ("odd.flv", {"width": 97, "height": 65, "codec": "flv"}),
        ("odd.mp4", {"width": 65, "height": 97, "pix_fmt": "yuv444p"}),
        ("uneven.mp4", {"pts": UNEVEN}),
        ("uneven.mkv", {"pts": UNEVEN}),
        ("pause.mp4", {"pts": PAUSE}),
        ("pause.mkv", {"pts": PAUSE}),
        ("one.mp4", {"frames": 1}),
        ("three.mp4", {"frames": 3}),
    ],
)
def test_frames_are_those_of_another_decoder_by_their_number(
    tmp_path: Path, decoder: Decoder, name: str, settings: dict[str, object]
) -> None:
    """Whatever their times are: a plan counts frames. Backwards jumps too, as overlapping windows make them."""
    expected = write_ramp(tmp_path / name, **settings)  # type: ignore[arg-type]
    info = decoder.inspect(str(tmp_path / name))
    assert isinstance(info, VideoInfo), info
    assert info.num_frames == len(expected) == settings.get("frames", 30)
    for numbers in (np.arange(0, len(expected), 3), np.arange(len(expected) // 2, len(expected))):
        found = decoder.frames(str(tmp_path / name), numbers, min(expected[0].shape[:2]))
        assert not isinstance(found, DecodeFailure), found
        difference = np.abs(found.astype(int) - np.stack([expected[i] for i in numbers]).astype(int))
        assert difference.max() <= 2


@pytest.mark.parametrize("frames", [1, 2, 3, 31, 32, 33, 40])
def test_a_video_shorter_or_a_little_longer_than_a_clip_fills_its_clips(
    tmp_path: Path, write_video: WriteVideo, decoder: Decoder, frames: int
) -> None:
    video = decoder.decode(str(write_video(tmp_path / "a.mp4", frames=frames)), CLIPS, 32)
    assert isinstance(video, DecodedVideo)
    assert video.num_frames == frames and video.clips.shape == (2, 16)
    assert video.clips.min() == 0 and video.clips.max() == len(video.frames) - 1


@pytest.mark.parametrize(
    ("turn", "corners"),
    [
        ((1, 0, 0, 1), "rgbk"),
        ((0, 1, -1, 0), "brkg"),  # a quarter clockwise
        ((-1, 0, 0, -1), "kbgr"),
        ((0, -1, 1, 0), "gkrb"),
    ],
)
def test_turned_videos_come_out_upright(
    tmp_path: Path, decoder: Decoder, turn: tuple[int, int, int, int], corners: str
) -> None:
    """As phones write them: the pictures lie on their side, and the header says how to turn them."""
    video = decoder.decode(str(write_shown(tmp_path / "a.mp4", turn)), CLIPS, 64)
    assert isinstance(video, DecodedVideo)
    assert video.frames.shape[1:3] == ((96, 64) if turn[0] == 0 else (64, 96))
    colours = {"r": (255, 0, 0), "g": (0, 255, 0), "b": (0, 0, 255), "k": (0, 0, 0)}
    for (y, x), name in zip([(8, 8), (8, -8), (-8, 8), (-8, -8)], corners, strict=True):
        assert np.abs(video.frames[0, y, x].astype(int) - colours[name]).max() < 12, name


def reference_view(frame: npt.NDArray[np.uint8], side: int, crops: int, view: int) -> npt.NDArray[np.uint8]:
    """Resize the short side with OpenCV, cut out a square: the published evaluation's rule for one frame."""
    height, width = frame.shape[:2]
    short = int(side * 256 / 224) if crops == 1 else side
    size = (short, int(short * height / width)) if width < height else (int(short * width / height), short)
    resized = frame if min(height, width) == short else cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
    height, width = resized.shape[:2]
    if crops == 1:
        top, left = round((height - side) / 2), round((width - side) / 2)
    else:
        start = view * ((max(height, width) - side) // 2)
        top, left = (start, 0) if height > width else (0, start)
    return np.asarray(resized[top : top + side, left : left + side])


@pytest.mark.parametrize(("width", "height"), [(96, 64), (64, 96), (66, 64), (64, 64), (130, 48)])
@pytest.mark.parametrize("crops", [1, 3])
def test_pixels_of_a_real_file_are_the_references_to_a_255th(
    tmp_path: Path, decoder: Decoder, width: int, height: int, crops: int
) -> None:
    stored = write_ramp(tmp_path / "a.mp4", frames=20, width=width, height=height)
    views, plan = ViewsConfig(crops=crops), ClipsConfig(segments=2, frames_per_clip=8, frame_step=2)
    video = decoder.decode(str(tmp_path / "a.mp4"), plan, short_side(views, 32))
    assert isinstance(video, DecodedVideo)
    frames, clips = torch.from_numpy(video.frames), torch.from_numpy(video.clips)
    found = evaluation_clips(frames, clips, views, resolution=32, mean=MEAN, std=STD)
    numbers = clip_indices(20, segments=2, frames_per_clip=8, frame_step=2)
    for view, segment, place in itertools.product(range(crops), range(2), range(8)):
        expected = reference_view(stored[numbers[segment, place]], 32, crops, view) / 255
        pixels = found[view, segment, :, place].permute(1, 2, 0).numpy() * np.array(STD) + np.array(MEAN)
        assert np.abs(pixels - expected).max() <= 1 / 255


def test_what_is_beyond_the_limits_is_a_failure_with_its_key_and_costs_no_decoding(
    tmp_path: Path, write_video: WriteVideo
) -> None:
    path = str(write_video(tmp_path / "a.mp4", frames=40, width=64, height=48))
    for limits, reason in [
        ({"max_pixels": 64 * 48 - 1}, "64 x 48 pixels, and decoding.max_pixels is 3071"),
        ({"max_seconds": 1.0}, "it lasts 1 s, and decoding.max_seconds is 1"),
        ({"max_frames": 39}, "it has 40 frames, and decoding.max_frames is 39"),
    ]:
        with Decoder(DecodingConfig(**limits)) as strict:  # type: ignore[arg-type]
            for found in (strict.decode(path, CLIPS, 32), strict.inspect(path)):
                assert isinstance(found, DecodeFailure) and reason in found.reason
    exact = DecodingConfig(max_pixels=64 * 48, max_seconds=1.4, max_frames=40)
    huge = str(write_huge(tmp_path / "huge.mov"))
    with Decoder(exact) as decoder:
        assert isinstance(decoder.decode(path, CLIPS, 32), DecodedVideo)
        before = time.monotonic()
        found = decoder.decode(huge, CLIPS, 32)
        assert isinstance(found, DecodeFailure) and "16000 x 16000 pixels" in found.reason
        assert time.monotonic() - before < 5


def test_a_video_without_frames_or_with_one_that_cannot_be_counted_is_a_failure(
    tmp_path: Path, decoder: Decoder
) -> None:
    write_ramp(tmp_path / "one.flv", frames=1, codec="flv")
    single = decoder.decode(str(tmp_path / "one.flv"), CLIPS, 32)
    assert isinstance(single, DecodedVideo) or ("frame-count" in single.reason and "re-encode" in single.reason)
    found = decoder.decode(str(write_no_frames(tmp_path / "a.mp4")), CLIPS, 32)
    assert isinstance(found, DecodeFailure) and "the video has no frames; re-encode or remove it" in found.reason
