"""`fersweep predict` as a user meets it: what is taken for a video, what is printed, and how it ends."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import jobs.main
from distributed.cropping import FaceConfig
from distributed.decoding import DecodingConfig
from distributed.errors import UserError
from distributed.storage import Storage
from distributed.views import ViewsConfig
from jobs.export import experiment_model
from jobs.predict import Asked, find_videos, read_decoding
from tests.conftest import WriteVideo
from tests.finished_run import FinishedRun


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> Any:
    monkeypatch.setattr(sys, "argv", ["fersweep", "predict", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        jobs.main.main()
    return end.value.code


def test_names_folders_and_patterns_are_videos_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b/2.mp4", "b/c/1.FLV", "b/notes.txt", "a.mp4", "odd[1].mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    root = str(tmp_path)
    assert find_videos([f"{root}/a.mp4", root, f"{root}/*.mp4"]) == [
        f"{root}/{name}" for name in ("a.mp4", "b/2.mp4", "b/c/1.FLV", "odd[1].mp4")
    ]
    monkeypatch.chdir(tmp_path)
    assert find_videos(["b/**/*.FLV", "missing.mp4", "odd[1].mp4", "s3://bucket/x.mp4"]) == [
        "b/c/1.FLV",
        "missing.mp4",
        "odd[1].mp4",
        "s3://bucket/x.mp4",
    ]
    with pytest.raises(UserError, match=r"\*.avi: stands for no video; looked for .avi, .flv"):
        find_videos(["*.avi"])


def test_wishes_that_do_not_fit_are_refused_before_anything_is_loaded() -> None:
    for asked, num, message in [
        (Asked(stride=2), 1, "need --windows"),
        (Asked(timeline=Path("a.png")), 1, "need --windows"),
        (Asked(windows=True, stride=0), 1, "must be at least 1"),
        (Asked(windows=True, annotate=Path("a.mp4")), 2, "take one video, and 2 are given"),
        (Asked(windows=True, timeline=Path("a.svg")), 1, "let its name end in .png"),
    ]:
        with pytest.raises(UserError, match=message):
            asked.check(num)


def test_limits_of_decoding_are_those_of_the_experiment_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("data: {format: ravdess, root: .}\ndecoding: {max_seconds: 90000}\n")
    assert read_decoding(str(tmp_path / "a.yaml")).max_seconds == 90000
    (tmp_path / "model.json").write_text("{}")
    for exported in (tmp_path, tmp_path / "model.json"):
        assert read_decoding(str(exported)) == DecodingConfig()


def test_faces_of_new_videos_are_asked_for_by_path(
    finished_run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = replace(experiment_model(finished_run.context), views=ViewsConfig(face=FaceConfig("", margin=1.0)))
    model.save(Storage.at(tmp_path / "model"))
    (video, other) = finished_run.manifest.table["path"].to_pylist()[1:3]
    table = tmp_path / "faces.csv"
    table.write_text(f"path,x0,y0,x1,y1\n{Path(video).name},8,8,40,40\nsomebody.mp4,1,1,9,9\n")
    monkeypatch.chdir(Path(video).parent)
    arguments = (video, other, "--model", tmp_path / "model", "--format", "json")
    assert call(monkeypatch, *arguments) == 2
    assert "give the faces of the new ones with --faces" in capsys.readouterr().err
    assert call(monkeypatch, *arguments, "--faces", table) == 2
    found, lost = json.loads(capsys.readouterr().out)
    assert sum(found["probabilities"].values()) == pytest.approx(1) and "no row" in lost["reason"]
    table.write_text("video_id,x0,y0,x1,y1\na,8,8,40,40\n")
    assert call(monkeypatch, *arguments, "--faces", table) == 2
    assert "new videos have no id; give the column path" in capsys.readouterr().err


def test_a_bad_video_is_a_line_and_the_exit_code_and_the_others_are_predicted(
    finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(finished_run.manifest.table["path"][0].as_py()).parent
    assert call(monkeypatch, folder, "--model", finished_run.experiment, "--format", "json") == 2
    out, err = capsys.readouterr()
    rows = {Path(row["video"]).name: row for row in json.loads(out)}
    assert rows.pop("happy-broken.mp4")["reason"] == "the file is empty; copy it again"
    assert set(rows) == {"happy-0.mp4", "happy-1.mp4", "sad-0.mp4", "sad-1.mp4"}
    assert all(sum(row["probabilities"].values()) == pytest.approx(1) for row in rows.values())
    assert "probabilities: the mean over the probes of 2 folds" in err and "1 of 5 videos could not" in err


def test_windows_can_be_printed_drawn_and_written_into_the_video(
    finished_run: FinishedRun,
    tmp_path: Path,
    write_video: WriteVideo,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    video = write_video(tmp_path / "a.mp4", frames=60)
    model = ("--model", finished_run.experiment, "--fold", "1")
    drawn = ("--timeline", tmp_path / "t.png", "--annotate", tmp_path / "b.mp4")
    assert call(monkeypatch, video, *model, "--windows", "--stride", "7", "--calibrated", *drawn) == 0
    out, err = capsys.readouterr()
    rows = [line for line in out.splitlines() if line.strip().startswith(str(video))]
    assert len(rows) == len(range(0, 60 - 32, 7)) + 1
    assert "the probe of fold 1, trained on csv; calibrated" in err
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG") and (tmp_path / "b.mp4").stat().st_size > 1000
    assert call(monkeypatch, video, *model, "--weights", tmp_path / "gone.safetensors") == 2
    assert "gone.safetensors: there is no such file" in capsys.readouterr().err
