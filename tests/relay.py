"""The way to an MLflow server, which can be cut and be there again at once: a server takes seconds to start."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tracking.runs import local_uris
from tracking.server import HOST, Server, free_port, serve


@dataclass
class Relay:
    """Takes connections on `port` and passes on what they carry to and from the port `to`, while it is open."""

    to: int
    port: int
    _listener: socket.socket | None = None
    _open: set[socket.socket] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def open(self) -> None:
        self._listener = socket.create_server((HOST, self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Nobody listens any more, and every connection breaks, with or without an answer on its way."""
        for one in filter(None, (self._listener, *self._open)):
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
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=_pass_on, args=pair, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # it is cut
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def relayed_server(folder: Path) -> Iterator[Relay]:
    """The way to an MLflow server with a database in `folder`; it opens once the server has started."""
    relay = Relay(free_port(5700), free_port(5750))

    def start() -> Server:
        server = serve(*local_uris(folder), relay.to)
        assert not server.moved
        relay.open()
        return server

    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(start)
        try:
            yield relay
        finally:
            starting.result().stop()
            relay.cut()
