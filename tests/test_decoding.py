"""Decoding real files: each needed frame once and as the reference resizes it, and a reason for every bad one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import decord
import numpy as np
import psutil
import pytest

from distributed.clips import ClipsConfig, clip_indices
from distributed.decoding import DecodedVideo, DecodeFailure, Decoder, DecodingConfig, VideoInfo, resized_size
from tests.conftest import WriteVideo

CLIPS = ClipsConfig(segments=3, frames_per_clip=8, frame_step=2)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(DecodingConfig(deadline_s=30)) as opened:
        yield opened


@pytest.mark.parametrize("name", ["a.mp4", "b.flv"])
def test_frames_equal_the_references_path(tmp_path: Path, write_video: WriteVideo, decoder: Decoder, name: str) -> None:
    """Against get_batch of all clips followed by a resize of each frame, which decodes frames repeatedly."""
    path = write_video(tmp_path / name, frames=40, width=96, height=64)
    video = decoder.decode(str(path), CLIPS, 36)
    assert isinstance(video, DecodedVideo)
    plan = clip_indices(40, segments=3, frames_per_clip=8, frame_step=2)
    reference = decord.VideoReader(str(path)).get_batch(plan.reshape(-1)).asnumpy()
    expected = np.stack([cv2.resize(f, (54, 36), interpolation=cv2.INTER_LINEAR) for f in reference])
    np.testing.assert_array_equal(video.frames[video.clips.reshape(-1)], expected)
    assert len(video.frames) == len(np.unique(plan)) < plan.size
    assert video.num_frames == 40


def test_frames_equal_those_of_another_decoder(tmp_path: Path, write_video: WriteVideo, decoder: Decoder) -> None:
    path = write_video(tmp_path / "a.flv", frames=20, width=64, height=48)
    video = decoder.decode(str(path), CLIPS, 48)
    assert isinstance(video, DecodedVideo)
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    needed = np.unique(clip_indices(20, segments=3, frames_per_clip=8, frame_step=2))
    difference = np.abs(video.frames.astype(int) - np.stack([frames[i] for i in needed]).astype(int))
    assert difference.max() <= 2


@pytest.mark.parametrize(
    ("size", "short", "expected"),
    [
        ((720, 1280), 438, (438, 778)),  # RAVDESS: 778.67, truncated
        ((720, 1280), 384, (384, 682)),  # 682.67
        ((360, 480), 438, (438, 584)),  # CREMA-D
        ((1280, 720), 438, (778, 438)),
        ((333, 333), 256, (256, 256)),
        ((384, 683), 384, (384, 683)),  # as large as it has to be: kept
        ((683, 384), 384, (683, 384)),
        ((101, 100), 256, (258, 256)),
        ((100, 1), 7, (700, 7)),
    ],
)
def test_resized_size(size: tuple[int, int], short: int, expected: tuple[int, int]) -> None:
    assert resized_size(*size, short) == expected


def test_resizing_guarantees_the_short_side_and_is_done_once() -> None:
    for height in range(5, 60):
        for width in range(5, 60):
            size = resized_size(height, width, 37)
            assert min(size) == 37
            assert resized_size(*size, 37) == size


def test_pieces_of_a_video_are_its_frames_and_its_length_is_known(
    tmp_path: Path, write_video: WriteVideo, decoder: Decoder
) -> None:
    path = str(write_video(tmp_path / "a.mp4", frames=40, width=96, height=64))
    info = decoder.inspect(path)
    assert isinstance(info, VideoInfo)
    assert info.num_frames == 40 and info.fps == pytest.approx(30000 / 1001)
    video = decoder.decode(path, CLIPS, 36)
    assert isinstance(video, DecodedVideo)
    needed = np.unique(clip_indices(40, segments=3, frames_per_clip=8, frame_step=2))
    pieces = [decoder.frames(path, part, 36) for part in np.array_split(needed, 3)]
    np.testing.assert_array_equal(np.concatenate([np.asarray(piece) for piece in pieces]), video.frames)


def test_a_video_that_took_anothers_place_is_opened_anew(
    tmp_path: Path, write_video: WriteVideo, decoder: Decoder
) -> None:
    path = write_video(tmp_path / "a.mp4", frames=20)
    before = decoder.inspect(str(path)), decoder.frames(str(path), np.arange(3), 48)
    write_video(path, frames=25, seed=1)
    after = decoder.inspect(str(path)), decoder.frames(str(path), np.arange(3), 48)
    lengths = [info.num_frames for info in (before[0], after[0]) if isinstance(info, VideoInfo)]
    assert lengths == [20, 25]
    assert not np.array_equal(np.asarray(before[1]), np.asarray(after[1]))
    path.unlink()
    gone = decoder.inspect(str(path))
    assert isinstance(gone, DecodeFailure) and "does not exist" in gone.reason


def bad_file(path: Path, kind: str, write_video: WriteVideo) -> Path:
    if kind == "stub":
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 1\n")
    elif kind == "empty":
        path.touch()
    elif kind == "random":
        path.write_bytes(np.random.default_rng(0).bytes(5000))
    elif kind == "text":
        path.write_text("a,b\n1,2\n")
    elif kind.startswith("truncated"):
        write_video(path, frames=90, width=128, height=96)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "folder":
        path.mkdir()
    return path


def test_a_place_that_cannot_be_read_is_a_failure(decoder: Decoder) -> None:
    found = decoder.decode("gopher://host/a.mp4", CLIPS, 36)
    assert isinstance(found, DecodeFailure) and found.reason.startswith("not a place that can be read")


@pytest.mark.parametrize(
    ("kind", "suffix", "reason"),
    [
        ("stub", ".flv", "git lfs pull"),
        ("empty", ".mp4", "empty"),
        ("random", ".mp4", "not a video"),
        ("text", ".flv", "not a video"),
        ("truncated mp4", ".mp4", "not a video"),
        ("truncated flv", ".flv", "truncated"),
        ("missing", ".mp4", "does not exist"),
        ("folder", ".mp4", "cannot be read"),
    ],
)
def test_a_bad_file_gives_its_reason_and_the_decoder_lives_on(
    tmp_path: Path, write_video: WriteVideo, decoder: Decoder, kind: str, suffix: str, reason: str
) -> None:
    bad = bad_file(tmp_path / f"bad{suffix}", kind, write_video)
    failure = decoder.decode(str(bad), CLIPS, 32)
    assert isinstance(failure, DecodeFailure)
    assert reason in failure.reason
    # The same words on every machine: no folder, no time, no line of somebody else's source.
    assert str(tmp_path) not in failure.reason and ".cc" not in failure.reason
    good = write_video(tmp_path / "good.mp4", frames=20)
    assert isinstance(decoder.decode(str(good), CLIPS, 32), DecodedVideo)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(tmp_path: Path, write_video: WriteVideo, decoder: Decoder) -> None:
    path = write_video(tmp_path / "a.mp4")
    path.chmod(0)
    failure = decoder.decode(str(path), CLIPS, 32)
    assert isinstance(failure, DecodeFailure) and "permissions" in failure.reason


def test_a_hung_decoder_is_killed_and_the_next_video_decodes(tmp_path: Path, write_video: WriteVideo) -> None:
    """Opening a named pipe that nobody writes to blocks for ever, as a bad container can."""
    pipe = tmp_path / "hangs.mp4"
    os.mkfifo(pipe)
    good = write_video(tmp_path / "good.mp4", frames=20)
    with Decoder(DecodingConfig(deadline_s=2)) as decoder:
        started = time.monotonic()
        failure = decoder.decode(str(pipe), CLIPS, 32)
        assert time.monotonic() - started < 20
        assert isinstance(failure, DecodeFailure) and "within 2 s" in failure.reason
        assert isinstance(decoder.decode(str(good), CLIPS, 32), DecodedVideo)


def kill_newest_decoder() -> None:
    processes = [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]
    os.kill(max(processes, key=lambda process: process.create_time()).pid, signal.SIGKILL)


def test_a_decoder_that_crashes_costs_one_video(tmp_path: Path, write_video: WriteVideo) -> None:
    """The process is killed in the middle of a video, as a crash in native code would end it."""
    pipe = tmp_path / "crashes.mp4"
    os.mkfifo(pipe)
    good = write_video(tmp_path / "good.mp4", frames=20)
    with Decoder(DecodingConfig(deadline_s=60)) as decoder:
        assert isinstance(decoder.decode(str(good), CLIPS, 32), DecodedVideo)
        killer = threading.Timer(1.0, kill_newest_decoder)
        killer.start()
        failure = decoder.decode(str(pipe), CLIPS, 32)
        assert isinstance(failure, DecodeFailure) and "crashed (exit code -9)" in failure.reason
        assert isinstance(decoder.decode(str(good), CLIPS, 32), DecodedVideo)


def test_a_decoder_that_was_killed_while_idle_costs_nothing(tmp_path: Path, write_video: WriteVideo) -> None:
    good = write_video(tmp_path / "good.mp4", frames=20)
    with Decoder(DecodingConfig()) as decoder:
        for _ in range(3):
            assert isinstance(decoder.decode(str(good), CLIPS, 32), DecodedVideo)
            kill_newest_decoder()
        whole = decoder.frames(str(good), np.arange(20), 32)
        kill_newest_decoder()  # between two pieces of a video
        np.testing.assert_array_equal(
            np.asarray(decoder.frames(str(good), np.arange(8, 20), 32)), np.asarray(whole)[8:]
        )


def test_a_killed_worker_takes_its_hung_decoder_along(tmp_path: Path) -> None:
    """Otherwise a hung decoder would keep a core and its memory for ever."""
    pipe = tmp_path / "hangs.mp4"
    os.mkfifo(pipe)
    program = (
        "import sys\n"
        "from distributed.clips import ClipsConfig\n"
        "from distributed.decoding import Decoder, DecodingConfig\n"
        "if __name__ == '__main__':\n"
        "    Decoder(DecodingConfig(deadline_s=600)).decode(sys.argv[1], ClipsConfig(), 32)\n"
    )
    script = tmp_path / "worker.py"
    script.write_text(program)
    parent = subprocess.Popen([sys.executable, str(script), str(pipe)])
    deadline = time.monotonic() + 60
    children: list[psutil.Process] = []
    while time.monotonic() < deadline and not children:
        time.sleep(0.2)
        found = psutil.Process(parent.pid).children()
        children = [p for p in found if "spawn_main" in " ".join(p.cmdline())]
    time.sleep(3)
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert children and not alive
