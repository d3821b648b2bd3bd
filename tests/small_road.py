"""A road that is short in every way: a few tiny videos, a tiny encoder, few probes. Shared by many tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import torch
import yaml
from rich.console import Console

from distributed.encoders.vjepa import VisionTransformer
from distributed.encoders.weights import write_weights
from distributed.manifest import DataConfig, Manifest, build_manifest
from distributed.storage import Storage
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.experiment import load_experiment
from tests.conftest import WriteVideo

EMOTIONS = range(1, 9)


def write_faces(
    root: Path, write_video: WriteVideo, *, actors: range = range(1, 25), emotions: range = EMOTIONS
) -> Path:
    """RAVDESS names; the emotion can be told from the pictures' pattern, which moves alike in all of them."""
    for actor in actors:
        for emotion in emotions:
            name = f"01-01-{emotion:02d}-01-01-01-{actor:02d}.mp4"
            write_video(root / f"Actor_{actor:02d}" / name, frames=18 + actor % 5, seed=emotion)
    return root


def write_encoder(path: Path) -> Path:
    """Weights of a transformer with a width of 32 and one block, for 32 pixels."""
    torch.manual_seed(0)
    write_weights(path, VisionTransformer(32, 1, 2, resolution=32))
    return path


def write_experiment(folder: Path, videos: Path, **sections: Any) -> Path:
    """An experiment file over `videos`, with small settings; `sections` replace whole sections."""
    values = {
        "workspace": str(folder / "workspace"),
        "data": {"format": "ravdess", "root": str(videos)},
        "encoder": {"name": "tiny", "weights": str(folder / "tiny.safetensors")},
        "clips": {"segments": 2, "frames_per_clip": 16, "frame_step": 2},
        "search": {"configurations": 4, "pack": 2, "families": ["linear"]},
        "training": {"epochs": 2},
        **sections,
    }
    if not (folder / "tiny.safetensors").exists():
        write_encoder(folder / "tiny.safetensors")
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def open_context(experiment: Path, *overrides: str) -> Context:
    return Context.of(load_experiment(experiment, overrides), Console(quiet=True))


def open_store(context: Context) -> tuple[Manifest, TokenStore]:
    manifest = build_manifest(context.experiment.data)
    return manifest, context.store(manifest)


def part_of(experiment: Path, rows: int = 8) -> pa.Table:
    """The first videos of an experiment as the part that a decoding task is given."""
    manifest, _ = open_store(open_context(experiment))
    table = manifest.table.slice(0, rows).select(["video_id", "path"])
    return table.append_column("part", pa.array([0] * rows, pa.int64()))


def manifest_of(videos: Path) -> Manifest:
    return build_manifest(DataConfig(format="ravdess", root=str(videos)))


def files_of(storage: Storage) -> dict[str, bytes]:
    return {name: storage.read_bytes(name) for name in storage.names()}


def fersweep(*arguments: str | Path) -> subprocess.Popen[str]:
    """The command line in a process group of its own, with a Ray of its own."""
    return start_python("-m", "jobs", *arguments)


def start_python(*arguments: str | Path) -> subprocess.Popen[str]:
    """Python in a process group of its own, which joins no Ray by itself."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
    )


def finish(process: subprocess.Popen[str], *, timeout_s: float = 240) -> tuple[int, str]:
    output, _ = process.communicate(timeout=timeout_s)
    return process.returncode, output


def wait_for(process: subprocess.Popen[str], moment: Callable[[], bool], timeout_s: float = 120) -> None:
    """Wait until `moment` has come, while the process works."""
    deadline = time.monotonic() + timeout_s
    while not moment():
        assert process.poll() is None, f"it ended before the moment came: {process.communicate()[0]}"
        assert time.monotonic() < deadline, "the moment never came"
        time.sleep(0.01)


def kill_when(process: subprocess.Popen[str], moment: Callable[[], bool], *, timeout_s: float = 120) -> None:
    """SIGKILL the driver alone once `moment` has come; what it had started must end by itself, and is awaited."""
    wait_for(process, moment, timeout_s)
    started = psutil.Process(process.pid).children(recursive=True)
    workers = [child for child in started if not child.name().endswith("Agent")]  # those of Ray stay a minute more
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    alive = psutil.wait_procs(workers, timeout=60)[1]
    assert not alive, f"still there a minute after the driver was killed: {alive}"
