"""How the process of a task that trains or scores probes computes on a CPU."""

import ctypes
import sys

import torch

# Parameters of glibc's mallopt(3), and what they are set to: the largest that it takes.
_MMAP_THRESHOLD, _LARGEST_THRESHOLD = -3, 32 * 2**20
_TRIM_THRESHOLD, _FREED = -1, 2**31 - 1


def use_threads(count: int) -> None:
    """Let torch compute on so many threads of this process, with numbers too small for the normal format taken as zero.

    A probe that has learned to look at few tokens gives the others weights of e^-90: products with such numbers take
    twenty times as long, and no result is near them. To be called before the process computes: threads take the
    setting from the one that starts them. What a step frees is kept for the next one.
    """
    torch.set_flush_denormal(True)
    torch.set_num_threads(count)
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Let glibc keep the memory that is freed, up to 2 GB of it; elsewhere nothing happens.

    By itself it gives the end of its heap back to the system as soon as that is free, and a training step, which frees
    all that it took, then gets it back page by page: a twelfth of a small probe's processor time, and more of a pack of
    large ones.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_THRESHOLD)  # else the next line would send all large blocks past the heap
        mallopt(_TRIM_THRESHOLD, _FREED)
