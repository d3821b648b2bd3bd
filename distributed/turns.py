"""Turns at the CPUs of a machine, for processes that share them.

Five trials on two CPUs push each other out of the caches whenever the system changes between them, and take an eighth
more processor time than one after the other. So no more of them compute at once than there are CPUs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from distributed.scratch import locked, own_folder

_PAUSE_S = 0.01


@contextmanager
def turn(places: int | None = None) -> Iterator[None]:
    """Compute in the block as one of `places` processes of this user on this machine, by default one for each CPU.

    Who came first is next. A turn is a lock on a folder, so it ends with its process, however that ends.
    """
    if places is None:
        places = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    folder = own_folder() / "turns"
    queue, *doors = (folder / name for name in ("next", *map(str, range(places))))
    for door in (queue, *doors):
        door.mkdir(parents=True, exist_ok=True)
    with locked(queue):  # one waits for a place, and the others for that
        while (place := _free_place(doors)) is None:
            time.sleep(_PAUSE_S)
    with place:
        yield


def _free_place(doors: Sequence[Path]) -> ExitStack | None:
    for door in doors:
        with ExitStack() as held:
            if held.enter_context(locked(door, wait=False)):
                return held.pop_all()
    return None
