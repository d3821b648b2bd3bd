"""Windows of a video in pieces: the frames of the whole plan, decoded once, and never more of them than a piece."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from distributed.clips import ClipsConfig, window_indices
from distributed.cropping import Crop, Crops
from distributed.decoding import DecodeFailure, Decoder, DecodingConfig
from distributed.windows import WindowPiece, decode_windows, window_pieces
from tests.conftest import WriteVideo

CLIPS = ClipsConfig(segments=2, frames_per_clip=4, frame_step=3)  # a window of 12 frames
FPS = 30000 / 1001


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(DecodingConfig(deadline_s=30)) as opened:
        yield opened


def pieces_of(decoder: Decoder, path: Path, stride: int, most: int) -> Iterator[WindowPiece]:
    for piece in window_pieces(decoder, str(path), CLIPS, stride=stride, short_side=48, most_windows=most):
        assert isinstance(piece, WindowPiece)
        yield piece


@pytest.mark.parametrize(("frames", "stride", "most"), [(40, 1, 5), (40, 5, 2), (40, 20, 1), (12, 1, 3), (7, 2, 3)])
def test_pieces_hold_the_frames_of_the_whole_plan(
    tmp_path: Path, write_video: WriteVideo, decoder: Decoder, frames: int, stride: int, most: int
) -> None:
    path = write_video(tmp_path / "a.mp4", frames=frames)
    every = decoder.frames(str(path), np.arange(frames), 48)
    assert isinstance(every, np.ndarray)
    plan = window_indices(frames, frames_per_clip=4, frame_step=3, stride=stride)
    pieces = list(pieces_of(decoder, path, stride, most))
    np.testing.assert_array_equal(np.concatenate([p.frames[p.clips] for p in pieces]), every[plan])
    assert [p.first for p in pieces] == list(range(0, len(plan), most))
    assert {p.num_windows for p in pieces} == {len(plan)}
    np.testing.assert_allclose(np.concatenate([p.starts for p in pieces]), plan[:, 0] / FPS, rtol=1e-6)
    np.testing.assert_allclose([p.stops[0] - p.starts[0] for p in pieces], min(frames, 12) / FPS, rtol=1e-6)


def test_windows_are_cut_and_a_video_without_a_face_is_a_reason(tmp_path: Path, write_video: WriteVideo) -> None:
    path, plain = str(write_video(tmp_path / "a.mp4", frames=20)), {"stride": 4, "short_side": 24, "most_windows": 2}
    batch = pa.table({"part": [0, 0], "video_id": ["a", "b"], "path": [path, path], "fold": [0, 0]})
    crops = Crops(faces={"a": Crop(box=(8, 8, 32, 32))})
    settings: dict[str, Any] = {**plain, "crops": crops}
    rows = [row for table in decode_windows(batch, DecodingConfig(), CLIPS, **settings) for row in table.to_pylist()]
    assert [(row["video_id"], bool(row["reason"])) for row in rows] == [("a", False), ("b", True)]
    found = np.frombuffer(rows[0]["pixels"], np.uint8).reshape(*rows[0]["size"], 3)
    with Decoder(DecodingConfig()) as decoder:
        needed = np.unique(window_indices(20, frames_per_clip=4, frame_step=3, stride=4))
        whole = decoder.frames(path, needed, 48)
    assert isinstance(whole, np.ndarray)
    np.testing.assert_array_equal(found, whole[:, 8:32, 8:32])
    assert "no row" in rows[1]["reason"]


def test_every_needed_frame_is_decoded_once_and_in_order(
    tmp_path: Path, write_video: WriteVideo, decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mp4", frames=60)
    asked: list[int] = []
    decode = decoder.frames

    def listening(path: str, numbers: np.ndarray[tuple[int], np.dtype[np.int64]], *rest: Any) -> object:
        asked.extend(numbers.tolist())
        return decode(path, numbers, *rest)

    monkeypatch.setattr(decoder, "frames", listening)
    list(pieces_of(decoder, path, 5, 2))
    assert asked == np.unique(window_indices(60, frames_per_clip=4, frame_step=3, stride=5)).tolist()


def test_memory_does_not_grow_with_the_videos_length(tmp_path: Path, write_video: WriteVideo, decoder: Decoder) -> None:
    """A minute against ten seconds: neither ever holds the frames of a few pieces, whose size is known."""
    peaks = []
    for seconds in (10, 60):
        path = write_video(tmp_path / f"{seconds}.mp4", frames=30 * seconds)
        list(pieces_of(decoder, path, 10, 4))  # what is loaded once does not count
        tracemalloc.start()
        windows = 0
        for piece in pieces_of(decoder, path, 10, 4):
            assert len(piece.frames) <= 12 + 3 * 10
            windows += len(piece.clips)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert windows == len(range(0, 30 * seconds - 12, 10))
    piece_bytes = (12 + 3 * 10) * 48 * 64 * 3
    assert peaks[1] < 6 * piece_bytes < 30 * 60 * 48 * 64 * 3 / 4
    assert peaks[1] < 1.25 * peaks[0]


def test_a_bad_file_gives_its_reason_and_nothing_else(tmp_path: Path, decoder: Decoder) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    found = list(window_pieces(decoder, str(tmp_path / "a.mp4"), CLIPS, stride=1, short_side=48, most_windows=4))
    assert found == [DecodeFailure("the file is empty; copy it again")]
