"""Threads of a task: as many as were asked for, and none of them works on subnormal numbers."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import time, torch
from distributed.threads import use_threads

def seconds(weights):
    tokens = torch.ones(512, 1280)
    best = []
    for _ in range(5):
        began = time.perf_counter()
        weights @ tokens
        best.append(time.perf_counter() - began)
    return min(best)

use_threads(2)
tiny = torch.full((2**20,), 1e-30) * 1e-9  # large enough for both threads
normal, sharp = torch.full((512, 512), 0.5), torch.full((512, 512), 1.0)
sharp[:, 1:] = 1e-30
sharp *= torch.where(torch.arange(512) > 0, 1e-9, 1.0)
print(torch.get_num_threads(), int(torch.count_nonzero(tiny)), int(torch.count_nonzero(sharp)))
print(seconds(sharp) / seconds(normal))
"""


def test_all_threads_take_subnormal_numbers_as_zero_so_that_sharp_weights_cost_no_more() -> None:
    """In a process of its own, as a task's is: the setting is one of the thread that asks."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    numbers, ratio = done.stdout.splitlines()
    assert numbers == "2 0 512"  # the one weight of every row that counts
    assert float(ratio) < 4  # it is about 20 with subnormal numbers


STEPS = """
import resource, torch
from distributed.threads import use_threads

use_threads(1)
net = torch.nn.Sequential(torch.nn.Linear(192, 768), torch.nn.GELU(), torch.nn.Linear(768, 192))
tokens = torch.randn(128, 192)

def step():
    net(tokens).square().sum().backward()
    net.zero_grad()

for _ in range(5):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator of Linux")
def test_a_step_gets_the_memory_that_the_one_before_has_freed() -> None:
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000  # pages that the system gave in 50 steps: about 100, and 4,200 without the setting
