"""How a command ends that failed: a message on what a user can mend, and the exit code."""

from __future__ import annotations

import errno
import sys
from types import TracebackType

from rich.console import Console

from distributed.errors import UserError


def explain(kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
    """The end of a context: a message on what a user can mend; all else is our mistake and keeps its traceback.

    Raises:
        SystemExit: 2 for a user's mistake or a full disk, 130 for Ctrl-C.
    """
    if isinstance(error, UserError):
        sys.exit(_complain(str(error), 2))
    if isinstance(error, SystemExit) and error.code == 130:  # on Ctrl-C typer ends without a word
        _complain("interrupted; what is finished is kept, and the same command goes on from there", 130)
    elif _is_full_disk(error):
        advice = "free some, or set workspace to a larger one; what is finished is kept"
        sys.exit(_complain(f"no space left on the disk; {advice}, and the same command goes on from there", 2))


def _is_full_disk(error: BaseException | None) -> bool:
    """Whether it began with a full disk, of which SQLite speaks in words of its own."""
    while error is not None:
        if (isinstance(error, OSError) and error.errno == errno.ENOSPC) or "disk is full" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _complain(text: str, code: int) -> int:
    Console(stderr=True, highlight=False).print(f"fersweep: {text}", markup=False, soft_wrap=True)
    return code
