"""Memory that batches share, one after the other."""

from __future__ import annotations

import torch

from distributed.batch_memory import BatchMemory


def test_a_batch_lies_where_the_one_before_lay_whatever_its_shape_and_type() -> None:
    memory = BatchMemory()
    first = memory.take((2, 3, 8), torch.float32).fill_(1.0)
    second = memory.take((3, 8), torch.bfloat16)
    assert (second.shape, second.dtype) == ((3, 8), torch.bfloat16)
    assert second.data_ptr() == first.data_ptr(), "no memory is taken for a batch that fits"
    second.fill_(2.0)
    assert first.flatten()[12:].eq(1).all() and not first.flatten()[:12].eq(1).any()


def test_a_larger_batch_leaves_the_one_before_as_it_is() -> None:
    memory = BatchMemory()
    small = memory.take((4,), torch.float32).fill_(3.0)
    large = memory.take((5, 7), torch.float64).fill_(0.0)
    assert small.tolist() == [3.0] * 4 and large.shape == (5, 7)
    assert memory.take((1,), torch.uint8).data_ptr() == large.data_ptr()
