"""The table of families: every one keeps the protocol, and mistakes are named."""

import dataclasses
import typing

import optuna
import pytest
import torch

from distributed.readout import readout
from search_spaces.family import FAMILIES, build_probe
from search_spaces.optimisation import OptimisationSpace

DIM, CLASSES = 32, 4


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_family_keeps_the_protocol(name: str) -> None:
    family = FAMILIES[name]
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)).ask()
    params = {"family": name, **OptimisationSpace().suggest(trial)}
    own = family.Space().suggest(trial, dim=DIM)
    assert all(key.startswith(f"{name}.") for key in own)
    probe = build_probe(name, {**params, **own}, dim=DIM, num_classes=CLASSES, seed=0)
    rows = probe.queries()
    assert rows.ndim == 2 and rows.shape[1] == DIM
    logits = probe.classify(readout(torch.randn(5, 7, DIM), rows))
    assert logits.shape == (5, CLASSES)
    logits.sum().backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None for weight in probe.parameters())


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_ranges_are_frozen_and_forbid_unknown_keys(name: str) -> None:
    space = FAMILIES[name].Space
    config = typing.cast(typing.Any, space).__pydantic_config__
    assert config == {"extra": "forbid"}
    field = dataclasses.fields(typing.cast(typing.Any, space))[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(space(), field, None)


def test_unknown_family_is_named() -> None:
    with pytest.raises(ValueError, match=r"'linaer' is unknown: choose one of \['attentive', 'linear', 'mlp'\]"):
        build_probe("linaer", {}, dim=DIM, num_classes=CLASSES, seed=0)


def test_contradicting_and_unread_parameters_are_refused() -> None:
    params = {"linear.dropout": 0.0}
    with pytest.raises(ValueError, match="contradicts"):
        build_probe("linear", params | {"family": "mlp"}, dim=DIM, num_classes=CLASSES, seed=0)
    with pytest.raises(ValueError, match=r"mlp\.width is not used"):
        build_probe("linear", params | {"mlp.width": 8}, dim=DIM, num_classes=CLASSES, seed=0)
    with pytest.raises(ValueError, match="momentum is not used"):
        build_probe("linear", params | {"momentum": 0.9}, dim=DIM, num_classes=CLASSES, seed=0)
