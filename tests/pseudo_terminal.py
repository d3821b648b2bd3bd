"""A command on a pseudo terminal, as a person meets it: what is typed, Ctrl-C too, reaches it as keys."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

CTRL_C = "\x03"
# The terminal becomes the one that rules the process, so that its keys send signals; then the command takes over.
_ON_TERMINAL = "import os, sys; os.login_tty(0); os.execvp(sys.argv[1], sys.argv[1:])"


@dataclass
class Terminal:
    """The keyboard and screen of a running command."""

    process: subprocess.Popen[bytes]
    _master: int
    screen: str = ""

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, text: str, timeout_s: float = 60) -> None:
        """Read until `text` has been shown."""
        deadline = time.monotonic() + timeout_s
        while text not in " ".join(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.screen).split()):
            assert time.monotonic() < deadline, f"{text!r} never came:\n{self.screen}"
            assert self._read(), f"it ended without {text!r}:\n{self.screen}"

    def end(self, timeout_s: float = 60) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        return self.process.wait(timeout_s)

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 1)[0]:
            return True
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # how Linux says that nobody is there any more
            return False
        self.screen += data.decode(errors="replace")
        return bool(data)


@contextmanager
def on_terminal(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Terminal]:
    """The command on a terminal of its own; it is killed if it has not ended."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _ON_TERMINAL, *command],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**environment, "TERM": "xterm"},
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)
