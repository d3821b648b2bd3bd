"""`fersweep benchmark embed`: its figures in words, and what cannot be measured."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from distributed.errors import UserError
from jobs.benchmark_embed import benchmark_embed
from tests.conftest import WriteVideo
from tests.small_models import write_model
from tests.small_road import write_encoder


@pytest.mark.usefixtures("shared_ray")
def test_every_figure_is_printed(tmp_path: Path, write_video: WriteVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.benchmark_embed._MOST_VIDEOS", 4)
    video = write_video(tmp_path / "a.mp4", frames=30)
    weights = write_encoder(tmp_path / "tiny.safetensors")
    console = Console(file=io.StringIO(), width=200)
    benchmark_embed("tiny", str(weights), video, console, resolution=32, rounds=1)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert re.search(r"a\.mp4 .* \d+ .* \d+\.\d+x .* yes", text)
    assert re.search(r"tiny on .* in float32, passes of 32: [0-9.]+ clips/s, .*% of a matrix product's", text)
    assert re.search(r"whole road: 4 videos, \d+ frames, 96 clips .* MB/s; encoders waited for decoding \d+%", text)


def test_a_video_that_is_not_there_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--video: there is no file"):
        benchmark_embed("tiny", None, tmp_path / "none.mp4", Console(file=io.StringIO()), resolution=32, rounds=1)
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(UserError, match="--video: .*the file is empty"):
        benchmark_embed("tiny", None, tmp_path / "empty.mp4", Console(file=io.StringIO()), resolution=32, rounds=1)
    with pytest.raises(UserError, match="vjepa-big"):
        benchmark_embed("vjepa-big", None, None, Console(file=io.StringIO()), resolution=32, rounds=1)


def test_a_model_folder_is_measured_with_its_own_weights(
    tmp_path: Path, write_video: WriteVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.benchmark_embed._ROAD_S", 0.0)
    write_model(tmp_path / "models" / "clip", "clip")
    monkeypatch.chdir(tmp_path)
    video, console = write_video(tmp_path / "a.mp4", frames=30), Console(file=io.StringIO(), width=200)
    benchmark_embed("huggingface:models/clip", None, video, console, resolution=32, rounds=1)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "random weights" not in text and "whole road: not measured" in text
    assert re.search(r"huggingface:models/clip on .* passes of 32: [0-9.]+ clips/s", text)
