"""What goes wrong: encoders that behave oddly, and a disk that is full, for the tests of it."""

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

import pyarrow as pa
import pytest
import torch

from distributed.embedding_workers import EncodeParts
from distributed.encoding import extremes

DEADLY = "Actor_01/01-01-03-01-01-01-01"


class DiesOnOne(EncodeParts):
    """Its process is killed whenever a certain video is encoded, as by a machine whose memory runs out."""

    def _encoded(self, batch: pa.Table, videos: Sequence[int]) -> Any:
        if DEADLY in [batch["video_id"][index].as_py() for index in videos]:
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._encoded(batch, videos)


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
        pytest.skip("only root can make a small disk")
    try:
        yield SmallDisk(place)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
