"""The demo's video files: names and formats of the real data sets, written once, whole, and the same every time."""

from __future__ import annotations

import csv
from pathlib import Path

import av
import decord
import numpy as np
import pytest

from distributed.datasets import parse_crema_d, parse_ravdess
from distributed.demo.faces import draw_clip
from distributed.demo.identity import draw_identity
from distributed.demo.videos import (
    CREMA_D_FORMAT,
    MAX_FRAMES,
    MIN_FRAMES,
    RATE,
    RAVDESS_FORMAT,
    Format,
    Take,
    crema_d_takes,
    demographics,
    num_frames,
    ravdess_takes,
    write_crema_d,
    write_ravdess,
    write_take,
)
from distributed.errors import UserError


@pytest.fixture(scope="module")
def ravdess(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, int]]]:
    """One actor's videos, and what was reported while they were written."""
    root, reports = tmp_path_factory.mktemp("ravdess"), []
    written = write_ravdess(
        root, seed=5, actors=[3], takes=1, progress=lambda done, total: reports.append((done, total))
    )
    assert written == 8
    return root, reports


def test_ravdess_files_are_named_like_the_real_ones(ravdess: tuple[Path, list[tuple[int, int]]]) -> None:
    files = sorted(path.relative_to(ravdess[0]).as_posix() for path in ravdess[0].rglob("*") if path.is_file())
    videos = [parse_ravdess(file) for file in files]
    assert len({video.label_name for video in videos}) == len(videos) == 8
    assert {video.extra["modality"] for video in videos} == {"audio-video"}
    assert {video.extra["channel"] for video in videos} == {"speech"}


def test_progress_counts_every_video_once(ravdess: tuple[Path, list[tuple[int, int]]]) -> None:
    assert ravdess[1] == [(done, 8) for done in range(9)]


def test_the_default_sets_are_balanced_and_all_names_are_valid() -> None:
    first = [parse_ravdess(take.file) for take in ravdess_takes(range(1, 25), 2)]
    assert len({video.file for video in first}) == 24 * 8 * 2
    for emotion in {video.label_name for video in first}:
        chosen = [video for video in first if video.label_name == emotion]
        assert {video.extra["statement"] for video in chosen} == {"kids", "dogs"}
        assert len({video.extra["intensity"] for video in chosen}) == (1 if emotion == "neutral" else 2)
    second = [parse_crema_d(take.file) for take in crema_d_takes(range(1001, 1019), 2)]
    assert len({video.file for video in second}) == 18 * 6 * 2
    assert {video.extra["level"] for video in second} == {"LO", "MD", "HI", "XX"}
    assert len({parse_ravdess(take.file).file for take in ravdess_takes([1], 4)}) == 32
    assert len({parse_crema_d(take.file).file for take in crema_d_takes([1091], 12)}) == 72


@pytest.mark.parametrize(
    ("take", "form", "codec"),
    [
        (Take("a.mp4", 4, "fearful", 0, 1.0), RAVDESS_FORMAT, "h264"),
        (Take("a.flv", 1004, "disgust", 1, 1.0), CREMA_D_FORMAT, "flv"),
    ],
    ids=["ravdess", "crema-d"],
)
def test_files_open_with_the_right_codec_size_rate_and_pictures(
    take: Take, form: Format, codec: str, tmp_path: Path
) -> None:
    write_take(tmp_path, take, form=form, seed=1)
    with av.open(str(tmp_path / take.file)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == (codec, "yuv420p")
        assert (stream.height, stream.width) == form.size
        assert float(stream.average_rate or 0) == pytest.approx(float(RATE), rel=1e-3)
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    expected = draw_clip(
        take.actor, take.emotion, take.number, seed=1, num_frames=num_frames(take, 1), size=form.size, strength=1.0
    )
    assert MIN_FRAMES <= len(pictures) == len(expected) <= MAX_FRAMES
    assert np.abs(np.array(pictures).astype(int) - expected).mean() < 6
    reader = decord.VideoReader(str(tmp_path / take.file))
    assert len(reader) == len(pictures)
    last = reader[len(reader) - 1].asnumpy().astype(int)
    assert np.abs(last - expected[-1]).mean() < 6


def test_the_same_take_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    take = Take("x.mp4", 9, "calm", 1, 1.0)
    contents = []
    for seed in (0, 0, 1):
        write_take(tmp_path, take, form=RAVDESS_FORMAT, seed=seed)
        contents.append((tmp_path / "x.mp4").read_bytes())
    assert contents[0] == contents[1] != contents[2]
    assert [path.name for path in tmp_path.iterdir()] == ["x.mp4"]


def test_existing_files_are_kept_and_only_the_missing_one_is_written(
    ravdess: tuple[Path, list[tuple[int, int]]],
) -> None:
    root = ravdess[0]
    first, second, *_ = sorted(root.rglob("*.mp4"))
    original = second.read_bytes()
    first.write_bytes(b"mine")
    second.unlink()
    reports: list[tuple[int, int]] = []
    assert write_ravdess(root, seed=5, actors=[3], takes=1, progress=lambda *counts: reports.append(counts)) == 1
    assert first.read_bytes() == b"mine"
    assert second.read_bytes() == original
    assert reports == [(7, 8), (8, 8)]
    assert write_ravdess(root, seed=5, actors=[3], takes=1) == 0


def test_crema_d_comes_with_its_table_of_actors(tmp_path: Path) -> None:
    # Keeps the test short: all videos but one are there already.
    for take in crema_d_takes([1002], 1)[1:]:
        (tmp_path / take.file).parent.mkdir(exist_ok=True)
        (tmp_path / take.file).touch()
    assert write_crema_d(tmp_path, seed=2, actors=[1002], takes=1) == 1
    with (tmp_path / "VideoDemographics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["ActorID", "Age", "Sex", "Race", "Ethnicity"]
    assert [row["ActorID"] for row in rows] == ["1002"]
    assert rows[0]["Sex"] == draw_identity(1002, seed=2).sex
    assert 18 <= int(rows[0]["Age"]) <= 80


def test_the_table_lists_both_sexes_equally() -> None:
    rows = list(csv.DictReader(demographics(range(1001, 1019), 0).splitlines()))
    assert [row["Sex"] for row in rows].count("Male") == len(rows) / 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"actors": [0, 25]}, r"actors \[0, 25\] .* Use actors 1 to 24"),
        ({"takes": 5}, "takes is 5: use 1 to 4"),
        ({"takes": 0}, "takes is 0"),
    ],
)
def test_what_ravdess_does_not_have_is_refused(arguments: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        write_ravdess(tmp_path, **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_what_crema_d_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"actors \[1\] .* Use actors 1001 to 1091"):
        write_crema_d(tmp_path, actors=[1])
    assert list(tmp_path.iterdir()) == []
