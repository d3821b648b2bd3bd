"""How a command ends that failed: a message on what a user can mend, and the exit code."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from rich.console import Console

from distributed.errors import UserError

_GOES_ON = "what is finished is kept, and the same command goes on from there"
_ENDINGS = {130: "interrupted", 143: "told to end (SIGTERM)"}  # on Ctrl-C typer ends without a word


@contextmanager
def end_on_sigterm() -> Iterator[None]:
    """Let SIGTERM, as of a spot machine that is taken back, end the block in good order with exit code 143."""

    told: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        told.append(128 + number)
        sys.exit(told[0])

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except SystemExit:
        if told:  # where Ray waits for something, it makes exit code 1 of this one
            sys.exit(told[0])
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def explain(kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
    """The end of a context: a message on what a user can mend; all else is our mistake and keeps its traceback.

    Raises:
        SystemExit: 2 for a user's mistake or a full disk, 130 for Ctrl-C, 143 for SIGTERM.
    """
    if isinstance(error, UserError):
        sys.exit(_complain(str(error), 2))
    if isinstance(error, SystemExit) and error.code in _ENDINGS:
        _complain(f"{_ENDINGS[error.code]}; {_GOES_ON}", error.code)
        if error.code == 128 + signal.SIGTERM:
            sys.stdout.flush()
            os._exit(error.code)  # at an ordinary end Python waits for threads, and one may wait for a silent server
    elif (where := _full_disk(error)) is not None:
        advice = "free some, or set workspace (TMPDIR, for temporary files) to a larger one"
        sys.exit(_complain(f"{where}; {advice}; {_GOES_ON}", 2))


def _full_disk(error: BaseException | None) -> str | None:
    """What to say of a full disk if it began with one, of which SQLite speaks in words of its own."""
    found = None
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            found = f"no space left on the disk{f' for {error.filename}' if error.filename else ''}"
        elif "disk is full" in str(error):
            found = "no space left on the disk"
        error = error.__cause__ or error.__context__
    return found


def _complain(text: str, code: int) -> int:
    Console(stderr=True, highlight=False).print(f"fersweep: {text}", markup=False, soft_wrap=True)
    return code
