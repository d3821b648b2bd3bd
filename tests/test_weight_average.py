"""The running average against its definition."""

import pytest
import torch
from torch import nn

from distributed.weight_average import WeightAverage


def test_average_equals_the_recursion_and_is_in_place_for_the_block_alone() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    average = WeightAverage(layer, 0.5)
    expected = layer.weight.detach().clone()
    for step in range(8):
        with torch.no_grad():
            layer.weight += torch.randn(2, 3)
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * layer.weight.detach()
    trained = layer.weight.detach().clone()
    with average.in_place():
        torch.testing.assert_close(layer.weight.detach(), expected)
        assert layer.state_dict()["weight"].data_ptr() == layer.weight.data_ptr()
    assert torch.equal(layer.weight, trained) and not torch.allclose(trained, expected)


def test_weights_come_back_after_an_error_and_training_goes_on() -> None:
    layer = nn.Linear(3, 2)
    before = layer.weight.detach().clone()
    average = WeightAverage(layer, 0.9)
    with torch.no_grad():
        layer.weight += 1
    average.update()
    with pytest.raises(RuntimeError, match="broken"), average.in_place():
        raise RuntimeError("broken")
    torch.testing.assert_close(layer.weight.detach(), before + 1)
    layer(torch.randn(2, 3)).sum().backward()
    assert layer.weight.grad is not None
