"""What goes wrong: videos and encoders that behave oddly, and a disk that is full, for the tests of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import torch

from distributed.embedding_workers import EncodeParts
from distributed.encoding import extremes
from distributed.labelled_tokens import LabelledTokens
from distributed.token_reader import TokenReader
from distributed.view_draws import TrainingViews


class DiesOnDeadly(EncodeParts):
    """Its process is killed whenever a deadly video is encoded, as by a machine whose memory runs out."""

    def _encoded(self, batch: pa.Table, videos: Sequence[int]) -> Any:
        if any(_mark(batch["path"][index].as_py()).exists() for index in videos):
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._encoded(batch, videos)


@contextmanager
def deadly(video: Path) -> Iterator[None]:
    """A video on which `DiesOnDeadly` dies, and which is mended then."""
    _mark(video).touch()
    try:
        yield
    finally:
        _mark(video).unlink()
        video.touch()


def _mark(video: str | Path) -> Path:
    return Path(f"{video}.deadly")


@contextmanager
def hanging(video: Path) -> Iterator[Path]:
    """In the video's place a pipe that nobody writes to: whoever opens it hangs for ever. It is mended then."""
    aside = video.rename(f"{video}.aside")
    os.mkfifo(video)
    try:
        yield video
    finally:
        video.unlink()
        aside.rename(video)


def kill_opener(pipe: Path, timeout_s: float = 120) -> None:
    """SIGKILL the descendant of this process that hangs in opening a pipe, as a crash in native code would end it."""
    deadline = time.monotonic() + timeout_s
    while not (found := [child.pid for child in psutil.Process().children(recursive=True) if _opens(child.pid, pipe)]):
        assert time.monotonic() < deadline, f"nobody opens {pipe}"
        time.sleep(0.05)
    for process in found:
        os.kill(process, signal.SIGKILL)


def _opens(process: int, file: Path) -> bool:
    """Whether a thread waits in a system call whose second argument, as that of openat, is the file's path."""
    wanted = os.fsencode(file) + b"\0"
    for call in Path(f"/proc/{process}/task").glob("*/syscall"):
        with suppress(OSError, IndexError, OverflowError):  # it has ended, waits for nothing, or has a number there
            with Path(f"/proc/{process}/mem").open("rb") as memory:
                if os.pread(memory.fileno(), len(wanted), int(call.read_text().split()[2], 16)) == wanted:
                    return True
    return False


class DeadlyOnce(LabelledTokens):
    """Who opens them first dies, as with a node that is lost while a trial starts there."""

    def reader(self, seed: int, take: TrainingViews = "all") -> TokenReader:
        mark = Path(f"{self.store.storage.uri}.opened")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().reader(seed, take)


class Sleeps(EncodeParts):
    """It sleeps for `SECONDS` a part as if a GPU computed, so that one machine can play many."""

    SECONDS = 1.0

    def _encoded(self, batch: pa.Table, videos: Sequence[int]) -> Any:
        time.sleep(self.SECONDS)
        tokens = torch.zeros((len(self.store.header.clean_views), *self.store.header.shape), dtype=torch.float16)
        return [((tokens, extremes(tokens.float())),) for _ in videos]


@dataclass(frozen=True)
class SmallDisk:
    """A disk of a few MB; the file `filler` holds what is not to be free."""

    place: Path

    def leave(self, free: int) -> Path:
        """Let so many bytes be free."""
        filler = self.place / "filler"
        filler.unlink(missing_ok=True)
        filler.write_bytes(bytes(shutil.disk_usage(self.place).free - free))
        return self.place

    def fill_when(self, moment: Callable[[], bool]) -> threading.Thread:
        """Fill it up in a thread once `moment` has come."""

        def watch() -> None:
            deadline = time.monotonic() + 120
            while not moment() and time.monotonic() < deadline:
                time.sleep(0.005)
            with suppress(OSError):  # others write there too: it is full before
                self.leave(0)

        thread = threading.Thread(target=watch)
        thread.start()
        return thread


@contextmanager
def small_disk(place: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mounted at a new folder; skips the test where that is not allowed."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        import pytest  # here, so that encoders need not wait for it

        pytest.skip("only root can make a small disk")
    try:
        yield SmallDisk(place)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
