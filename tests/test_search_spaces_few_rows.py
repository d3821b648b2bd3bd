"""Linear layers of few rows: the numbers of torch's own, cut only where that is worth it."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from search_spaces import few_rows
from search_spaces.few_rows import FEW, LARGE, PARTS, Linear


@pytest.fixture
def layer(monkeypatch: pytest.MonkeyPatch) -> Linear:
    """96 features to 64, large enough to be cut."""
    monkeypatch.setattr(few_rows, "LARGE", 64 * 96)
    torch.manual_seed(0)
    return Linear(96, 64)


def grads(layer: Linear, x: Tensor, *, plain: bool) -> list[Tensor]:
    mine = copy.deepcopy(layer).double()
    x = x.double().requires_grad_()
    output = F.linear(x, mine.weight, mine.bias) if plain else mine(x)
    (output * torch.linspace(-1, 1, output.numel()).view(output.shape)).sum().backward()
    assert x.grad is not None and mine.weight.grad is not None and mine.bias.grad is not None
    return [output.detach(), x.grad, mine.weight.grad, mine.bias.grad]


@pytest.mark.parametrize("shape", [(2, 96), (2, 3, 96), (1, FEW, 96), (96,)])
def test_outputs_and_gradients_are_those_of_a_linear_layer(layer: Linear, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    assert layer._is_cut(x)
    torch.testing.assert_close(grads(layer, x, plain=False), grads(layer, x, plain=True), rtol=1e-12, atol=1e-12)
    # The first layer of a head has inputs without a gradient.
    layer(x).sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.shape == (64, 96)


def test_a_layer_of_the_published_size_is_cut_and_no_other(layer: Linear, monkeypatch: pytest.MonkeyPatch) -> None:
    few = torch.zeros(FEW, 96)
    assert not layer._is_cut(torch.zeros(FEW + 1, 96)), "many rows are what torch's own is best at"
    with torch.no_grad():
        assert not layer._is_cut(few)
    assert not Linear(96, PARTS * 3 + 1)._is_cut(few), "outputs that cannot be cut evenly"
    assert not layer.to("meta")._is_cut(few.to("meta"))
    monkeypatch.setattr(few_rows, "LARGE", LARGE)
    assert not layer._is_cut(few)
    assert Linear(1280, 5120)._is_cut(torch.zeros(2, 1280)) and Linear(5120, 1280)._is_cut(torch.zeros(2, 5120))


def test_a_frozen_layer_is_read_by_torch(layer: Linear) -> None:
    layer.weight.requires_grad_(False)
    assert not layer._is_cut(torch.zeros(2, 96))
