"""The way to a server, which can be cut and be there again: at once, where starting a server anew takes seconds."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tracking.server import HOST, free_port


@dataclass
class Relay:
    """Takes connections on `port` and passes on what they carry to and from the port `to`, while it is open."""

    to: int
    port: int
    served: int = 0  # connections since it was opened last
    _listener: socket.socket | None = None
    _open: set[socket.socket] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def open(self) -> None:
        self.served = 0
        self._listener = socket.create_server((HOST, self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Nobody listens any more, and every connection breaks, with or without an answer on its way."""
        assert self._listener is not None
        for one in (self._listener, *self._open):
            with suppress(OSError):  # the other side has closed it
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # it is cut
            while True:
                client, _ = listener.accept()
                server = socket.create_connection((HOST, self.to))
                self._open |= {client, server}
                self.served += 1
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=pair, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # it is cut
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def relay_to(port: int) -> Iterator[Relay]:
    """An open one."""
    relay = Relay(port, free_port(5750))
    relay.open()
    try:
        yield relay
    finally:
        relay.cut()
