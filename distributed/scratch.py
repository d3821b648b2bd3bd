"""Folders on this machine's disk for the length of a block, which outlive no process for long."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from distributed.errors import UserError


def own_folder() -> Path:
    """Where this user's processes keep what they may lose, on this machine."""
    folder = Path(tempfile.gettempdir()) / f"fersweep-{os.getuid()}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


@contextmanager
def scratch_folder(kind: str) -> Iterator[Path]:
    """A new folder, removed with the block. Those of processes that were killed go when the next one is asked for.

    A lock on each folder, which falls with its process, tells them from those in use.

    Raises:
        UserError: the block met a full disk.
    """
    with ExitStack() as held:
        held.enter_context(_explained())
        place = own_folder() / kind
        place.mkdir(exist_ok=True)
        with locked(place):
            for old in place.iterdir():
                with locked(old, wait=False) as free:
                    if free:
                        shutil.rmtree(old, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(dir=place))
            held.enter_context(locked(folder))
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        yield folder


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise UserError(
            f"{tempfile.gettempdir()}: no space left on the disk of this machine's temporary files; free some, or let "
            "TMPDIR name a folder on a larger disk"
        ) from error


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a folder; False where it is held by somebody else and one does not `wait`."""
    door = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(door, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            held = True
        except BlockingIOError:
            held = False
        yield held
    finally:
        os.close(door)
