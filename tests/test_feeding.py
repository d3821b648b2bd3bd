"""Tokens come batch by batch: kept on the device where they fit, else read one batch ahead of the work."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from distributed.batch_memory import BatchMemory
from distributed.feeding import DeviceTokens, one_ahead, room
from distributed.token_source import Rows, TensorTokens

CPU = torch.device("cpu")
ROWS = np.array([8, 2, 3, 5, 7])
PARTS = [np.array([3, 8]), np.array([5, 2]), np.array([7])]


class Counted(TensorTokens):
    """Counts the views that are read."""

    reads = 0

    def read(self, rows: Rows, views: Rows, memory: BatchMemory | None = None) -> torch.Tensor:
        self.reads += len(rows)
        return super().read(rows, views, memory)


def source() -> Counted:
    return Counted(torch.randn(9, 3, 20, 16, generator=torch.Generator().manual_seed(0)).to(torch.float16), seed=1)


@pytest.mark.parametrize("budget", [0, 5 * 3 * 20 * 16 * 2 - 1, 5 * 3 * 20 * 16 * 2])
def test_batches_are_the_sources_whether_they_are_kept_or_streamed(
    budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distributed.feeding._CHUNK_BYTES", 2 * 3 * 20 * 16 * 2)  # two videos
    tokens, plain = source(), source()
    fed = DeviceTokens(tokens, ROWS, CPU, budget=budget)
    for epoch in (1, 2, 3):
        for rows, batch in zip(PARTS, fed.gather(PARTS, epoch), strict=True):
            assert batch.dtype == torch.float16 and torch.equal(batch, plain.gather(rows, epoch))
        for rows, views in zip(PARTS, fed.evaluation_views(PARTS), strict=True):
            assert torch.equal(views, plain.evaluation_views(rows).flatten(0, 1))
    kept = budget >= 5 * 3 * 20 * 16 * 2
    first, every, drawn = 3 * (budget > 0), 3 * len(ROWS), len(ROWS)
    assert tokens.reads - first == (every if kept else 3 * (drawn + every)), "kept tokens are read once"


def test_a_cpu_keeps_nothing_as_all_trials_share_what_is_mapped() -> None:
    assert room(CPU) == 0


def test_every_batch_is_loaded_once_in_order_and_the_next_one_while_one_is_used() -> None:
    loaded, begun = [], [threading.Event() for _ in range(7)]

    def load(number: int, rows: Rows) -> tuple[int, Rows]:
        begun[number].set()
        loaded.append(number)
        return number, rows

    batches = [np.arange(number, number + 2) for number in range(6)]
    for number, (given, rows) in enumerate(one_ahead(load, batches)):
        assert given == number and rows is batches[number]
        assert number == 5 or begun[number + 1].wait(10), "the next batch is not loaded while this one is used"
        assert not begun[number + 2].is_set() if number < 5 else True, "two buffers hold no third batch"
    assert loaded == list(range(6))
    assert list(one_ahead(load, [])) == []


def test_a_batch_that_cannot_be_read_is_an_error_in_its_turn_and_ends_the_thread() -> None:
    def load(number: int, rows: Rows) -> int:
        if number == 2:
            raise OSError("the disk is gone")
        return number

    def use() -> Iterator[int]:
        yield from one_ahead(load, [ROWS] * 5)

    before = threading.active_count()
    seen: list[int] = []
    with pytest.raises(OSError, match="the disk is gone"):
        seen.extend(use())
    assert seen == [0, 1]
    left = use()
    assert next(left) == 0
    left.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
