"""Work is begun anew with half as many probes until it fits, and what does not fit is told."""

import gc
import weakref
from collections.abc import Callable

import pytest
import torch

from distributed.errors import UserError
from distributed.within_memory import within_memory


class Ballast:
    """Stands for tensors that fill the memory."""


def work_for(most: int, tried: list[int], kept: list["weakref.ref[Ballast]"]) -> Callable[[int], str]:
    def work(together: int) -> str:
        ballast = Ballast()
        assert all(one() is None for one in kept), "what filled the memory is still alive at the next attempt"
        kept.append(weakref.ref(ballast))
        tried.append(together)
        if together > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")
        return f"done with {together}"

    return work


@pytest.mark.parametrize(("most", "tries"), [(8, [8]), (5, [8, 4]), (1, [8, 4, 2, 1])])
def test_halves_until_it_fits(most: int, tries: list[int]) -> None:
    tried: list[int] = []
    work = work_for(most, tried, [])
    gc.disable()
    try:
        if len(tries) > 1:
            with pytest.warns(UserWarning, match=f"too small for 8 probes at a time: begun again with {tries[-1]}"):
                found = within_memory(work, 8, "one")
        else:
            found = within_memory(work, 8, "one")
    finally:
        gc.enable()
    assert tried == tries and found == (f"done with {tries[-1]}", tries[-1])


def test_an_odd_number_is_halved_upwards() -> None:
    tried: list[int] = []
    with pytest.warns(UserWarning):
        within_memory(work_for(1, tried, []), 5, "one")
    assert tried == [5, 3, 2, 1]


def test_one_that_does_not_fit_is_an_error_with_its_fix() -> None:
    with pytest.raises(UserError, match=r"train one deep probe \(CUDA out of memory\).*batch_size"):
        within_memory(work_for(0, [], []), 1, "one deep probe")


def test_other_errors_pass() -> None:
    def broken(together: int) -> None:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        within_memory(broken, 4, "one")
