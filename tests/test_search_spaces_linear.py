"""The linear probe is mean pooling, a LayerNorm and a linear layer, and trains to what that can do."""

import optuna
import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter, ValidationError

from distributed.readout import readout
from search_spaces.linear import LinearSpace, build

DIM, CLASSES = 16, 3


def test_logits_are_those_of_the_mean_of_standardised_tokens() -> None:
    probe = build({"linear.dropout": 0.4}, dim=DIM, num_classes=CLASSES, seed=3).eval()
    tokens = 5 + 3 * torch.randn(4, 11, DIM)
    mean = F.layer_norm(tokens, (DIM,), eps=1e-5).mean(dim=1)
    expected = F.layer_norm(mean, (DIM,)) @ probe.linear.weight.T + probe.linear.bias
    torch.testing.assert_close(probe.classify(readout(tokens, probe.queries())), expected)


def test_mean_pooling_needs_one_row_that_is_not_a_weight() -> None:
    probe = build({"linear.dropout": 0.0}, dim=DIM, num_classes=CLASSES, seed=3)
    assert probe.queries().shape == (1, DIM) and not probe.queries().requires_grad
    assert sorted(probe.state_dict()) == ["linear.bias", "linear.weight", "norm.bias", "norm.weight"]


def test_same_seed_same_probe_and_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    one, two, other = (
        build({"linear.dropout": 0.0}, dim=DIM, num_classes=CLASSES, seed=seed).linear.weight for seed in (5, 5, 6)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_suggestion_stays_within_the_range() -> None:
    params = LinearSpace(dropout=(0.1, 0.2)).suggest(optuna.create_study().ask(), dim=DIM)
    assert list(params) == ["linear.dropout"] and 0.1 <= params["linear.dropout"] <= 0.2


def test_wrong_values_are_named() -> None:
    with pytest.raises(ValueError, match=r"linear\.dropout = -0\.1"):
        build({"linear.dropout": -0.1}, dim=DIM, num_classes=CLASSES, seed=0)
    with pytest.raises(ValueError, match=r"linear\.bias is unknown"):
        build({"linear.dropout": 0.1, "linear.bias": True}, dim=DIM, num_classes=CLASSES, seed=0)
    with pytest.raises(ValidationError, match=r"linear\.dropout = \[0\.5, 1\.0\]"):
        TypeAdapter(LinearSpace).validate_python({"dropout": [0.5, 1.0]})
    with pytest.raises(ValidationError, match="width"):
        TypeAdapter(LinearSpace).validate_python({"width": [3]})
