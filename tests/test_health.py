"""The doctor's checks: what is well is said with its figures, what is not with its fix."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ray
import torch

from distributed.cluster import ClusterConfig
from distributed.decoding import DecodedVideo, DecodeFailure
from distributed.encoders import EncoderConfig
from distributed.encoders.vjepa import VisionTransformer
from distributed.health import (
    check_decoder,
    check_encoder,
    check_job_server,
    check_machine,
    check_ray,
    check_storage,
    check_videos,
)
from tests.cluster_head import Head

ROOT = Path(__file__).parent.parent
ASK_JOB_SERVER = """
import sys, ray
from distributed.health import check_job_server
found = check_job_server(sys.argv[1])
ray.__version__ = "1.0"
other = check_job_server(sys.argv[1])
for check in (found, other):
    print(check.state, check.text)
"""


def test_the_machine_and_its_devices_are_described() -> None:
    machine, *devices = check_machine()
    assert machine.name == "machine" and f"{os.cpu_count()} CPUs" in machine.text
    assert len(devices) == max(1, torch.cuda.device_count())
    assert (devices[0].state == "ok") is torch.cuda.is_available()


def test_a_real_video_is_decoded() -> None:
    assert check_decoder().state == "ok"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (DecodeFailure("the decoder crashed"), "does not decode: the decoder crashed"),
        (DecodedVideo(np.full((8, 32, 32, 3), 200, np.uint8), np.zeros((1, 8), np.int64), 16), "off by 160"),
        (DecodedVideo(np.full((8, 32, 32, 3), 40, np.uint8), np.zeros((1, 8), np.int64), 9), "came back as 9"),
    ],
)
def test_a_decoder_that_fails_or_gives_other_pictures_is_an_error(
    monkeypatch: pytest.MonkeyPatch, answer: object, text: str
) -> None:
    monkeypatch.setattr("distributed.health.Decoder.decode", lambda *_, **__: answer)
    check = check_decoder()
    assert check.state == "error" and text in check.text and "constraints.txt" in check.fix


def test_a_folder_is_written_read_and_left_as_it_was(tmp_path: Path) -> None:
    writable, room = check_storage("workspace", str(tmp_path / "w"))
    assert writable.state == "ok" and str(tmp_path / "w") in writable.text
    assert "GB of disk are free" in room.text
    assert list((tmp_path / "w").iterdir()) == []


def test_places_that_cannot_be_used_are_errors(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    (check,) = check_storage("workspace", str(tmp_path / "file" / "w"))
    assert check.state == "error" and "file" in check.text
    (check,) = check_storage("workspace", "nonsense://bucket/w")
    assert check.state == "error" and "nonsense://bucket/w" in check.text


def test_little_room_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr("distributed.health.shutil.disk_usage", lambda _: usage)
    _, room = check_storage("workspace", str(tmp_path))
    assert (room.state, room.text) == ("warning", "1.0 GB of disk are free there")


def test_the_folder_of_the_videos_must_be_one(tmp_path: Path) -> None:
    assert check_videos(str(tmp_path)).state == check_videos(tmp_path.as_uri()).state == "ok"
    (tmp_path / "file").write_text("")
    for place in ("none", "file"):
        check = check_videos(str(tmp_path / place))
        assert (check.state, check.fix) == ("error", "correct data.root")


def test_weights_are_checked_whole_and_named_by_their_hash(tmp_path: Path) -> None:
    check = check_encoder(EncoderConfig())
    assert check.state == "ok" and "sha256" in check.text
    state = VisionTransformer(32, 1, 2, resolution=32).state_dict()
    del state["norm.bias"]
    torch.save({"target_encoder": state}, tmp_path / "half.pt")
    check = check_encoder(EncoderConfig("vjepa-vitl16-224", str(tmp_path / "half.pt")))
    assert check.state == "error" and "missing parameters" in check.text


@pytest.mark.usefixtures("shared_ray")
def test_a_ray_runs_a_task_and_a_clock_that_is_off_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = check_ray(ClusterConfig())
    assert check.state == "ok" and "1 nodes, 2 CPUs" in check.text
    times = iter((1000.0, 1001.0))
    monkeypatch.setattr("distributed.health.time.time", lambda: next(times))
    _, clock = check_ray(ClusterConfig())
    assert clock.state == "warning" and "clock" in clock.text
    assert ray.is_initialized()  # one that ran before goes on running


@pytest.mark.usefixtures("shared_ray")
def test_a_node_that_is_not_as_the_head_says_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    (there,) = ray.nodes()
    for label, states in {"1x2cpu": ["ok"], "4x64cpu8gpu": ["ok", "warning"]}.items():
        told = {**there, "Labels": {**there["Labels"], "fersweep.nodes/some": label}}
        monkeypatch.setattr("ray.nodes", lambda told=told: [told])
        checks = list(check_ray(ClusterConfig()))
        assert [check.state for check in checks] == states
    assert "has other CPUs or GPUs than the labels of the head say" in checks[1].text
    assert "256 CPUs, 32 GPUs" in checks[0].text  # what the cluster can have


def test_a_job_server_that_does_not_answer_is_an_error() -> None:
    check = check_job_server("http://127.0.0.1:1")
    assert check.state == "error" and "http://127.0.0.1:1" in check.text and "RAY_AUTH_TOKEN_PATH" in check.fix


def test_a_job_server_is_compared_by_the_version_of_its_ray(head: Head) -> None:
    """Asked in a process that holds the head's token."""
    done = subprocess.run(
        [sys.executable, "-c", ASK_JOB_SERVER, head.address],
        cwd=ROOT,
        env=head.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        f"ok {head.address} takes jobs, Ray {ray.__version__} like here",
        f"warning {head.address} runs version {ray.__version__} of Ray, this machine 1.0",
    ]
