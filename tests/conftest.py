"""What several tests share: real video files, and one Ray for the whole run."""

from __future__ import annotations

import os

os.environ["RAY_AUTH_MODE"] = "token"  # before Ray is imported, which reads it once

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
import ray
import torch

from distributed.cluster import ClusterConfig, ray_session

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.cluster_head import Head
    from tests.finished_run import FinishedRun
    from tests.served import Served

WriteVideo = Callable[..., Path]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Torch on one thread: on a busy machine the threads of steps this small wait for each other far longer."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def write_video() -> WriteVideo:
    """Writes a short real video: moving noise, H.264 in MP4 or FLV1 by the file's suffix."""

    def write(path: Path, *, frames: int = 24, width: int = 64, height: int = 48, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        codec = "flv" if path.suffix == ".flv" else "libx264"
        base = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3), np.uint8)
        picture = np.kron(base, np.ones((8, 8, 1), np.uint8))
        with av.open(str(path), "w") as container:
            container.metadata["title"] = f"{path.parent.name}/{path.stem}"  # no two files have the same bytes
            stream = container.add_stream(codec, rate=Fraction(30000, 1001))
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for number in range(frames):
                image = np.roll(picture, 2 * number, axis=1)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture(scope="session")
def shared_ray() -> Iterator[None]:
    """One Ray with two CPUs for every test that needs one: starting it takes seconds."""
    with ray_session(ClusterConfig(num_cpus=2)):
        yield
    assert not ray.is_initialized()


@pytest.fixture(scope="session")
def finished_run(shared_ray: None, write_video: WriteVideo, tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """One small run from video files to its report; tests may add to its workspace, not change what is there."""
    from tests.finished_run import make_finished_run  # it needs what stands above

    return make_finished_run(tmp_path_factory.mktemp("finished"), write_video)


@pytest.fixture(scope="session")
def served(finished_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The dashboards of the finished run, until the last test has looked at them."""
    from tests.served import serve_dashboards

    with serve_dashboards(finished_run, tmp_path_factory.mktemp("served")) as dashboards:
        yield dashboards


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium for one file: its event loop would be in the way of others."""
    from tests.browser import start_browser

    with start_browser() as started:
        yield started


@pytest.fixture(scope="session")
def head() -> Iterator[Head]:
    """One head node with a job server and a token of its own."""
    from tests.cluster_head import start_head

    with start_head() as started:
        yield started
