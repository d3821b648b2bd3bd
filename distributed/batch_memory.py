"""Memory that one batch after the other is put in.

Taken anew for every batch, blocks of several sizes leave gaps in the heap that the next ones do not fit (glibc 2.36, as
torch asks for aligned ones): a trial whose batches take 16 MB then grew to 130 MB, measured.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


class BatchMemory:
    """A block on the CPU, as large as the largest batch that was asked for. A batch lasts until the next one."""

    def __init__(self) -> None:
        self._block = torch.empty(0, dtype=torch.uint8)

    def take(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """An uninitialised tensor of that shape and type in the block."""
        size = math.prod(shape) * dtype.itemsize
        if size > self._block.nbytes:
            self._block = torch.empty(size, dtype=torch.uint8)
        return self._block[:size].view(dtype).view(*shape)
