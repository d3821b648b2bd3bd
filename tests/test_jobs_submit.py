"""Submitting to a real Ray head on loopback, with token authentication on."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console

import search_spaces
from distributed.demo.videos import write_crema_d
from distributed.errors import UserError
from jobs.context import Context
from jobs.demo import demo_experiment
from jobs.report import fold_records, results_of
from jobs.submit import Asked, pack_upload, submit
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
    stranger = replace(head, environment={**head.environment, "RAY_AUTH_TOKEN_PATH": str(wrong)})
    code, output = finish(stranger.fersweep("submit", "demo"))
    assert code == 2, output
    assert "RAY_AUTH_TOKEN_PATH" in output and "Traceback" not in output


def test_no_server_an_unknown_stage_a_missing_file_and_options_of_another_stage(tmp_path: Path) -> None:
    console, file = Console(quiet=True), tmp_path / "e.yaml"
    for asked, refusal in {
        Asked("train"): "no such stage; choose run, demo, index",
        Asked("run"): "run: give the experiment file",
        Asked("demo", file): "demo takes no file",
        Asked("run", file, full_video=True): "--full-video is an option of evaluate, and run is submitted",
        Asked("report", file, on=file): "--on is an option of evaluate, and report is submitted",
        Asked("evaluate", file, optimistic=True): "--optimistic is an option of report, and evaluate is submitted",
        Asked("demo"): r"--address http://127\.0\.0\.1:1: no Ray job server answers",
    }.items():
        with pytest.raises(UserError, match=refusal):
            submit(asked, "http://127.0.0.1:1", console)


def test_the_upload_is_code_and_the_checked_experiments_alone(tmp_path: Path, write_video: WriteVideo) -> None:
    videos = write_faces(tmp_path / "videos", write_video, actors=range(1, 2), emotions=range(1, 2))
    experiment = write_experiment(tmp_path, videos)
    other = tmp_path / "other.yaml"
    other.write_text(experiment.read_text())
    asked = Asked("evaluate", experiment, ("seed=7",), full_video=True, on=other)
    assert asked.command == "python -m jobs evaluate experiment.yaml --full-video --on on.yaml"
    upload = tmp_path / "upload"
    upload.mkdir()
    size, workspace = pack_upload(upload, asked)
    assert workspace == str(tmp_path / "workspace")
    files = [file.relative_to(upload) for file in upload.rglob("*") if file.is_file()]
    packages = {"distributed", "jobs", "search_spaces", "tracking"}
    assert {file.parts[0] for file in files} == packages | {"experiment.yaml", "on.yaml"}
    assert {file.suffix for file in files} <= {".py", ".typed", ".safetensors", ".yaml", ""}
    assert size == sum((upload / file).stat().st_size for file in files) < 20_000_000
    # Paths are absolute and names written out, so the folder and the file's name do not matter.
    assert open_context(upload / "experiment.yaml").experiment == open_context(experiment, "seed=7").experiment
    assert open_context(upload / "on.yaml").experiment == open_context(other).experiment


def test_what_else_lies_among_the_code_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "search_spaces"
    shutil.copytree(Path(search_spaces.__file__).parent, copy)
    for name in (".env", "notes.txt", "id_rsa", "credentials", ".aws/credentials", "old/.netrc"):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text("PASSWORD=hunter2")
    monkeypatch.setattr(search_spaces, "__file__", str(copy / "__init__.py"))
    upload = tmp_path / "upload"
    upload.mkdir()
    pack_upload(upload, Asked("demo"))
    there = {file.relative_to(upload / "search_spaces").as_posix() for file in (upload / "search_spaces").rglob("*.*")}
    assert there == {file.name for file in copy.iterdir() if file.suffix in (".py", ".typed")}
    assert not [file for file in upload.rglob("*") if file.is_file() and b"hunter2" in file.read_bytes()]


@pytest.mark.timeout(600)
def test_half_of_the_demo_runs_as_a_job_and_its_winners_read_three_times_chance(head: Head) -> None:
    """The smaller set of drawn faces, from video files to the report, on the cluster."""
    folder = head.folder / "half"
    settings = demo_experiment("crema-d", folder / "videos", folder / "workspace", seed=0)
    experiment = folder / "half.yaml"
    write_crema_d(folder / "videos", seed=0)
    experiment.write_text(yaml.safe_dump(settings))
    code, output = finish(head.fersweep("submit", "run", experiment, "search.configurations=8"), timeout_s=500)
    assert code == 0, output
    check_winners(open_context(experiment, "search.configurations=8"), num_videos=216, num_folds=5, uar=3 / 6)
    check_placement(head.placed())
    assert head.leaks() == [] and not [secret for secret in head.secrets.values() if secret in output]


@pytest.mark.soak
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
        assert len(context.manifest().label_names) == num_classes
        check_winners(context, num_videos=num_videos, num_folds=5, uar=3 / num_classes)
    check_placement(head.placed())
    assert head.leaks() == [] and not [secret for secret in head.secrets.values() if secret in output]


def check_winners(context: Context, *, num_videos: int, num_folds: int, uar: float) -> None:
    """Every video is in the list, every fold has its scores, and the report is a page."""
    manifest = context.manifest()
    records = fold_records(context, manifest, context.store(manifest))
    assert (len(manifest.table), len(records)) == (num_videos, num_folds)
    assert np.mean([record["scores"]["uar"] for record in records]) >= uar
    assert Path(results_of(context)[-1]).read_text(encoding="utf-8").startswith("<!doctype html>")


def check_placement(placed: dict[str, set[str]]) -> None:
    """Each kind of work ran on the nodes for it, and the head only controlled."""
    for kind, names in {
        "decode": ["MapBatches(decode_part)", "_read_part"],
        "GPU": ["MapWorker(MapBatches(EncodeParts)).submit", "ResourceTrainable.train", "_evaluate_fold"],
        "head": ["_run_graph", "_search_fold"],
    }.items():
        assert {name: placed[name] for name in names} == {name: {kind} for name in names}
    controls = (
        "_run_graph",
        "EncoderDeaths.",
        "_search_fold",
        "_StatsActor.",
        "_AutoscalingCoordinatorActor.",
        "ActorLocationTracker.",
    )
    assert [name for name, kinds in placed.items() if "head" in kinds and not name.startswith(controls)] == []
    assert not [name for name in placed if name.endswith(".save")], "a trial writes to a folder of the head's disk"
