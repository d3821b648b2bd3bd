"""The table of families: every one keeps the protocol, and mistakes are named."""

import dataclasses
import typing
from pathlib import Path

import optuna
import pytest
import torch

import search_spaces
from distributed.prediction import pack_logits
from distributed.readout import prepare
from distributed.search import SearchConfig
from search_spaces import family as family_module
from search_spaces import mlp
from search_spaces.family import FAMILIES, build_probe
from search_spaces.optimisation import OptimisationSpace
from search_spaces.probe import TokenGrid

DIM, CLASSES = 32, 4
SHIPPED = {"linear", "mlp", "attentive", "segment", "multiscale", "deep", "ridge", "logistic"}


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_family_keeps_the_protocol(name: str) -> None:
    family = FAMILIES[name]
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)).ask()
    params = {"family": name, **({} if family.fitted else OptimisationSpace().suggest(trial))}
    own = family.Space().suggest(trial, dim=DIM)
    assert all(key.startswith(f"{name}.") for key in own)
    probe = build_probe(name, {**params, **own}, dim=DIM, num_classes=CLASSES, seed=0, grid=TokenGrid(2, 3, 2, 2))
    rows = probe.queries()
    assert rows.ndim == 2 and rows.shape[1] == DIM
    tokens = torch.randn(5, 24, DIM)
    (logits,) = pack_logits([probe], tokens if family.mixes else prepare(tokens))
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


def test_every_file_that_declares_a_family_is_found_and_searchable() -> None:
    files = {
        path.stem for path in Path(search_spaces.__file__).parent.glob("*.py") if "\nFAMILY = " in path.read_text()
    }
    assert set(FAMILIES) == files and files >= SHIPPED
    config = SearchConfig.model_validate({"families": sorted(files), "segment": {"layers": [3]}})
    assert config.ranges_of("segment") == FAMILIES["segment"].Space(layers=(3,))  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="layer"):
        SearchConfig.model_validate({"segment": {"layer": [3]}})


def test_a_declaration_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlp, "FAMILY", dataclasses.replace(mlp.FAMILY, name="perceptron"))
    with pytest.raises(TypeError, match=r"search_spaces\.mlp\.FAMILY must be a Family of the name mlp"):
        family_module._declared()


def test_unknown_family_is_named() -> None:
    with pytest.raises(ValueError, match=r"'linaer' is unknown: choose one of \['attentive', .*'linear', .*'mlp'"):
        build_probe("linaer", {}, dim=DIM, num_classes=CLASSES, seed=0)


def test_contradicting_and_unread_parameters_are_refused() -> None:
    params = {"linear.dropout": 0.0}
    with pytest.raises(ValueError, match="contradicts"):
        build_probe("linear", params | {"family": "mlp"}, dim=DIM, num_classes=CLASSES, seed=0)
    with pytest.raises(ValueError, match=r"mlp\.width is not used"):
        build_probe("linear", params | {"mlp.width": 8}, dim=DIM, num_classes=CLASSES, seed=0)
    with pytest.raises(ValueError, match="nesterov is not used"):
        build_probe("linear", params | {"nesterov": 0.9}, dim=DIM, num_classes=CLASSES, seed=0)
    fitted = {"ridge.l2": 1.0, "ridge.class_weights": "none", "lr": 0.1}
    with pytest.raises(ValueError, match="lr is not used by the ridge probe"):
        build_probe("ridge", fitted, dim=DIM, num_classes=CLASSES, seed=0)
