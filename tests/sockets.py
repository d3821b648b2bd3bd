"""What listens for strangers: the sockets of processes and of all that they have started."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

import psutil

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def listening(pids: Iterable[int]) -> set[tuple[str, int]]:
    """The addresses (host, port) on which processes and their descendants take connections; of ours itself alone."""
    found = set()
    for pid in pids:
        process = psutil.Process(pid)
        family = [process, *(process.children(recursive=True) if pid != os.getpid() else ())]
        for one in family:
            with suppress(psutil.NoSuchProcess):
                taken = one.net_connections(kind="tcp")
                found |= {(each.laddr.ip, each.laddr.port) for each in taken if each.status == psutil.CONN_LISTEN}
    return found


def not_loopback(pids: Iterable[int]) -> set[tuple[str, int]]:
    """Those that others than this machine reach; there must be some sockets, or the wrong processes are looked at."""
    found = listening(pids)
    assert found
    return {(host, port) for host, port in found if host not in LOOPBACK}
