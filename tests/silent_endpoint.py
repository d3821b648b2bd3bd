"""An S3 endpoint that takes connections and never answers, asked by a process of its own while other tests run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.s3_server import S3Server

ASK = """
import time
from distributed.errors import UserError
from distributed.storage import Storage
began = time.monotonic()
try:
    Storage.at("s3://faces/ws").exists("a")
except UserError as error:
    print(f"{time.monotonic() - began:.0f} {error}")
"""


@dataclass
class Asking:
    """The process that asks, and the address that is silent."""

    process: subprocess.Popen[str]
    port: int

    def answer(self, timeout_s: float) -> tuple[int, str]:
        """The seconds that the error took to come, and the error."""
        output, _ = self.process.communicate(timeout=timeout_s)
        seconds, _, text = output.partition(" ")
        return int(seconds), text


@contextmanager
def ask_silence() -> Iterator[Asking]:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as silent:
        port = silent.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-c", ASK],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **S3Server(port).environment},
        )
        try:
            yield Asking(process, port)
        finally:
            process.kill()
            process.communicate()
