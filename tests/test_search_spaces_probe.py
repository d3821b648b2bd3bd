"""The seeded parts that probes are made of."""

import math

import pytest
import torch

from search_spaces.probe import Dropout, RandomStream, linear


def test_dropout_keeps_the_share_and_the_mean() -> None:
    x = torch.ones(400, 501)
    y = Dropout(0.3, RandomStream(1))(x)
    assert (y == 0).float().mean().item() == pytest.approx(0.3, abs=0.005)
    assert y.mean().item() == pytest.approx(1.0, abs=0.01)
    assert y[y > 0].unique().tolist() == pytest.approx([1 / 0.7], rel=1e-4)


def test_dropout_is_in_no_pattern_over_the_four_values_of_a_draw() -> None:
    dropped = Dropout(0.25, RandomStream(1))(torch.ones(40_000, 4)) == 0
    together = dropped.float().T @ dropped.float() / len(dropped)
    expected = torch.full((4, 4), 0.25**2).fill_diagonal_(0.25)
    torch.testing.assert_close(together, expected, atol=0.01, rtol=0)


def test_dropout_gradient_is_the_mask() -> None:
    x = torch.ones(50, 3, requires_grad=True)
    y = Dropout(0.5, RandomStream(2))(x)
    y.sum().backward()
    assert x.grad is not None and torch.equal(x.grad, y.detach())


def test_dropout_draws_from_its_stream_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = [Dropout(0.5, RandomStream(1))(torch.ones(64)) for _ in range(2)]
    assert torch.equal(first[0], first[1])
    assert torch.equal(torch.get_rng_state(), before)
    layer = Dropout(0.5, RandomStream(1))
    assert not torch.equal(layer(torch.ones(64)), layer(torch.ones(64)))


def test_no_dropout_draws_nothing() -> None:
    x = torch.randn(5)
    assert Dropout(0.0, RandomStream(0))(x) is x
    assert Dropout(0.5, RandomStream(0)).eval()(x) is x


def test_linear_layer_is_uniform_as_torch_has_it_or_normal() -> None:
    uniform = linear(400, 300, RandomStream(0))
    assert uniform.weight.abs().max() <= 1 / 20 and uniform.bias.abs().max() <= 1 / 20
    assert uniform.weight.std().item() == pytest.approx(1 / 20 / math.sqrt(3), rel=0.02)
    normal = linear(400, 300, RandomStream(0), std=0.02)
    assert normal.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert not normal.bias.any()
