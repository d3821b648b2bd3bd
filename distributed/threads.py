"""How the process of a task that trains or scores probes computes on a CPU."""

import torch


def use_threads(count: int) -> None:
    """Let torch compute on so many threads of this process, with numbers too small for the normal format taken as zero.

    A probe that has learned to look at few tokens gives the others weights of e^-90: products with such numbers take
    twenty times as long, and no result is near them. To be called before the process computes: threads take the
    setting from the one that starts them.
    """
    torch.set_flush_denormal(True)
    torch.set_num_threads(count)
