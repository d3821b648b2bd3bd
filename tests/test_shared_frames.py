"""Frames in shared memory: what a child fills its parent reads, and nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing

import numpy as np
import psutil
import pytest

from distributed.shared_frames import SharedFrames, fill

CHILD = "import sys, distributed.shared_frames as s; s.fill(sys.argv[1], (2, 3, 4, 3))[:] = 7"


def test_a_parent_reads_what_its_child_has_filled() -> None:
    with closing(SharedFrames()) as shared:
        subprocess.run([sys.executable, "-c", CHILD, shared.place], check=True)
        frames = shared.take((2, 3, 4, 3))
    assert frames.shape == (2, 3, 4, 3) and frames.dtype == np.uint8
    assert (frames == 7).all()  # they outlive the room that they came in
    frames[0] = 1
    assert frames.flags.writeable and frames.sum() == 36 + 7 * 36


def test_each_rooms_memory_is_given_back() -> None:
    process = psutil.Process()
    shape = (8, 512, 512, 3)
    before, files = process.memory_info().rss, process.num_fds()
    for _ in range(40):
        with closing(SharedFrames()) as shared:
            fill(shared.place, shape)[:] = 1
            assert shared.take(shape)[-1, -1, -1, -1] == 1
    assert process.num_fds() == files
    assert process.memory_info().rss - before < 3 * np.prod(shape)


def test_a_place_that_is_gone_is_an_error() -> None:
    with closing(SharedFrames()) as shared:
        place = shared.place
    with pytest.raises(OSError):
        fill(place, (1, 1, 1, 3))
