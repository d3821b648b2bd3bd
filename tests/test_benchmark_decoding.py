"""Both sides of the comparison give the encoder the same numbers, and ours costs a fraction."""

from __future__ import annotations

from pathlib import Path

import pytest

from distributed.benchmark_decoding import KINDS, VideoKind, make_video, measure_decoding
from distributed.decoding import DecodingConfig, open_video


def nothing() -> None:
    """Nobody looks at the rounds."""


def test_both_sides_give_the_same_clips(tmp_path: Path) -> None:
    for name, codec in (("a.mp4", "libx264"), ("b.flv", "flv")):
        video = make_video(tmp_path, VideoKind(name, codec, 500_000, 160, 96, 2.5))
        reader = open_video(str(video), DecodingConfig())
        assert len(reader) == 75 and reader[0].shape == (96, 160, 3)
        found = measure_decoding(video, 64, 1, nothing)
        assert found.same_clips and found.video == name and 60 < found.frames <= 75
        assert 0 < found.reference_pixels_s < found.reference_s
        assert found.ratio == found.reference_s / found.seconds


def test_a_video_that_does_not_decode_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a.mp4: the file is empty"):
        measure_decoding(tmp_path / "a.mp4", 64, 1, nothing)


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.name))
def test_a_core_reads_six_times_as_fast_as_the_reference(tmp_path: Path, kind: VideoKind) -> None:
    found = measure_decoding(make_video(tmp_path, kind), 384, 3, nothing)
    assert found.same_clips and found.ratio > 6
