"""Submitting to a real Ray head on loopback, with token authentication on."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from distributed.errors import UserError
from jobs.report import fold_records, results_of
from jobs.submit import pack_upload, submit
from tests.cluster_head import Head
from tests.conftest import WriteVideo
from tests.small_road import finish, open_context, write_experiment, write_faces


def test_a_stage_runs_as_a_job_and_its_exit_code_comes_back(
    tmp_path: Path, write_video: WriteVideo, head: Head
) -> None:
    videos = write_faces(tmp_path / "videos", write_video, actors=range(1, 3), emotions=range(1, 3))
    experiment = write_experiment(tmp_path, videos)
    code, output = finish(head.fersweep("submit", "index", experiment))
    assert code == 0, output
    assert "index: 4 videos of 2 actors in 8 classes" in output
    assert "succeeded" in output
    assert open_context(experiment).manifest().table.num_rows == 4  # written by the job into the shared workspace

    shutil.rmtree(videos)
    code, output = finish(head.fersweep("submit", "index", experiment))
    assert code == 2, output
    assert f"data.root: {videos} is not a folder" in output and "failed" in output


def test_without_the_token_nothing_is_accepted(tmp_path: Path, head: Head) -> None:
    wrong = tmp_path / "token"
    wrong.write_text(uuid.uuid4().hex)
    stranger = Head(head.address, {**head.environment, "RAY_AUTH_TOKEN_PATH": str(wrong)})
    code, output = finish(stranger.fersweep("submit", "demo"))
    assert code == 2, output
    assert "RAY_AUTH_TOKEN_PATH" in output and "Traceback" not in output


def test_no_server_an_unknown_stage_and_a_missing_file() -> None:
    console = Console(quiet=True)
    with pytest.raises(UserError, match="no such stage; choose run, demo, index"):
        submit("train", None, "http://127.0.0.1:1", console)
    with pytest.raises(UserError, match="give the experiment file"):
        submit("run", None, "http://127.0.0.1:1", console)
    with pytest.raises(UserError, match=r"--address http://127\.0\.0\.1:1: no Ray job server answers"):
        submit("demo", None, "http://127.0.0.1:1", console)


def test_the_upload_is_code_and_the_checked_experiment_alone(tmp_path: Path, write_video: WriteVideo) -> None:
    videos = write_faces(tmp_path / "videos", write_video, actors=range(1, 2), emotions=range(1, 2))
    experiment = write_experiment(tmp_path, videos)
    upload = tmp_path / "upload"
    upload.mkdir()
    size = pack_upload(upload, experiment)
    files = [file.relative_to(upload) for file in upload.rglob("*") if file.is_file()]
    assert {file.parts[0] for file in files} == {"distributed", "jobs", "search_spaces", "tracking", "experiment.yaml"}
    assert {file.suffix for file in files} <= {".py", ".typed", ".safetensors", ".yaml", ""}
    assert size == sum((upload / file).stat().st_size for file in files) < 20_000_000
    sent = open_context(upload / "experiment.yaml").experiment
    assert sent == open_context(experiment).experiment  # paths are absolute, so the folder does not matter


@pytest.mark.timeout(900)
def test_the_demo_runs_as_a_job_and_its_winners_read_three_times_chance(head: Head) -> None:
    """Both sets of drawn faces, from video files to reports, on the cluster; the first of the three seeds tested."""
    process = head.fersweep("submit", "demo")
    output, _ = process.communicate(timeout=800)
    assert process.returncode == 0, output
    folder = Path(head.environment["HOME"]) / "fersweep-demo"
    assert f"fersweep dashboard {folder / 'workspace'}" in output
    for dataset, num_videos, num_classes in [("ravdess", 384, 8), ("crema-d", 216, 6)]:
        context = open_context(folder / f"demo-{dataset}.yaml")
        manifest = context.manifest()
        assert (len(manifest.table), len(manifest.label_names)) == (num_videos, num_classes)
        records = fold_records(context, manifest, context.store(manifest))
        assert len(records) == 5
        assert np.mean([record["scores"]["uar"] for record in records]) >= 3 / num_classes
        assert Path(results_of(context)[-1]).read_text(encoding="utf-8").startswith("<!doctype html>")
