"""The command line: exit codes, messages without tracebacks, and help."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from pathlib import Path

import pytest

import jobs.main
from jobs.context import Context
from tests.conftest import WriteVideo
from tests.small_road import fersweep, finish, write_experiment, write_faces


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """The command in this process: its exit code, and what it printed."""
    monkeypatch.setattr(sys, "argv", ["fersweep", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        jobs.main.main()
        raise SystemExit(0)
    printed = capsys.readouterr()
    return int(end.value.code or 0), printed.out + printed.err


def test_every_command_explains_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = call(monkeypatch, capsys, "--help")
    assert code == 0
    for command in ("demo", "run", "index", "embed", "sweep", "evaluate", "report", "dashboard", "submit", "init"):
        assert command in text


def test_mistakes_end_with_code_2_and_one_message(
    tmp_path: Path, write_video: WriteVideo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = write_faces(tmp_path / "videos", write_video, actors=range(1, 2), emotions=range(1, 2))
    experiment = write_experiment(tmp_path, videos)
    twin = tmp_path / "videos" / "copy" / "Actor_01" / "01-01-01-01-01-01-01.mp4"
    for arguments, complaint in [
        (("run", tmp_path / "missing.yaml"), "the experiment file cannot be read"),
        (("run", experiment, "search.pakc=2"), "search.pakc: unknown key; did you mean pack?"),
        (("index", experiment, "data.root=/nowhere"), "data.root: /nowhere is not a folder"),
        (("embed", experiment), "run the index stage"),
        (("dashboard", tmp_path), "no runs here"),
        (("dashboard", experiment), "no runs here"),
        (("submit", "train"), "no such stage"),
        (("init", "fer2013", tmp_path), "choose ravdess, crema-d or csv"),
    ]:
        code, text = call(monkeypatch, capsys, *arguments)
        assert code == 2, arguments
        assert "fersweep: " in text and complaint in text
        assert "Traceback" not in text
    assert call(monkeypatch, capsys, "index", experiment)[0] == 0
    code, text = call(monkeypatch, capsys, "sweep", experiment)  # nothing is embedded yet
    assert code == 2 and "fersweep embed" in text
    twin.parent.mkdir(parents=True)
    twin.write_bytes((videos / "Actor_01" / twin.name).read_bytes())
    code, text = call(monkeypatch, capsys, "index", experiment)
    assert code == 2 and "01-01-01-01-01-01-01" in text and "twice" in text


def test_weights_that_do_not_fit_are_refused(
    tmp_path: Path, write_video: WriteVideo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = write_faces(tmp_path / "videos", write_video, actors=range(1, 2), emotions=range(1, 2))
    experiment = write_experiment(tmp_path, videos)
    assert call(monkeypatch, capsys, "index", experiment)[0] == 0
    code, text = call(monkeypatch, capsys, "embed", experiment, "encoder.name=vjepa-vitl16-224")
    assert code == 2 and "tiny.safetensors" in text and "Traceback" not in text


def test_a_full_disk_is_told_and_other_errors_keep_their_traceback(
    tmp_path: Path, write_video: WriteVideo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = write_faces(tmp_path / "videos", write_video, actors=range(1, 2), emotions=range(1, 2))
    experiment = write_experiment(tmp_path, videos)

    def full(context: Context, name: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "shard-000000.arrow")

    monkeypatch.setattr(jobs.main, "run_stage", full)
    code, text = call(monkeypatch, capsys, "index", experiment)
    assert code == 2 and "no space left on the disk" in text

    def broken(context: Context, name: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(jobs.main, "run_stage", broken)
    monkeypatch.setattr(sys, "argv", ["fersweep", "index", str(experiment)])
    with pytest.raises(OSError, match="Input/output error"):
        jobs.main.main()


def test_an_interruption_ends_with_130_and_says_that_work_is_kept(tmp_path: Path, write_video: WriteVideo) -> None:
    """A real process, interrupted while Ray starts or embeds."""
    videos = write_faces(tmp_path / "videos", write_video, actors=range(1, 5))
    experiment = write_experiment(tmp_path, videos, embedding={"videos_per_task": 1})
    assert finish(fersweep("index", experiment))[0] == 0
    process = fersweep("embed", experiment)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("workspace/tokens/*/parts/part-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    code, output = finish(process)
    assert code == 130, output
    assert "interrupted; what is finished is kept" in output
