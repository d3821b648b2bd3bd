"""Work that is done for several probes at a time, for as many as the device's memory has room for."""

import gc
import warnings
from collections.abc import Callable
from typing import TypeVar

import torch

from distributed.errors import UserError

T = TypeVar("T")


def within_memory(work: Callable[[int], T], count: int, one: str) -> tuple[T, int]:
    """What `work(together)` gives, and `together`: `count`, halved with a warning as often as memory was too small.

    `work` is begun anew each time. `one` says what the smallest piece of work is.
    Raises UserError when not even one at a time finds room.
    """
    together = count
    while True:
        try:
            return work(together), together
        except torch.OutOfMemoryError as error:
            lack = str(error).split(". ")[0]
        if together == 1:
            raise UserError(
                f"memory is too small to train {one} ({lack}); set smaller sizes in search.optimisation.batch_size, "
                "pool the tokens (tokens.pool), or let fewer trials share the device (sweep.gpus_per_trial)"
            )
        # Out of the except clause, where the error would keep alive all that has filled the memory.
        gc.collect()
        torch.cuda.empty_cache()
        together = -(-together // 2)
        warnings.warn(
            f"memory is too small for {count} probes at a time: begun again with {together}, to the same results; "
            "a smaller search.pack spares the attempt",
            stacklevel=2,
        )
