"""The MLP probe: its network, its ranges."""

import optuna
import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter, ValidationError

from distributed.readout import readout
from search_spaces.mlp import MlpSpace, build

DIM, CLASSES = 16, 3
PARAMS = {"mlp.width": 10, "mlp.layers": 2, "mlp.dropout": 0.2}


def test_logits_are_those_of_two_hidden_layers_on_the_mean() -> None:
    probe = build(PARAMS, dim=DIM, num_classes=CLASSES, seed=3).eval()
    tokens = torch.randn(4, 11, DIM)
    x = F.layer_norm(F.layer_norm(tokens, (DIM,)).mean(dim=1), (DIM,))
    state = probe.state_dict()
    for name in ("hidden.0", "hidden.3"):
        x = F.gelu(x @ state[f"{name}.weight"].T + state[f"{name}.bias"])
    expected = x @ state["linear.weight"].T + state["linear.bias"]
    torch.testing.assert_close(probe.classify(readout(tokens, probe.queries())), expected)


def test_suggested_parameters_build_a_probe_of_that_size() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(8):
        params = MlpSpace(width=(8, 12), layers=(1, 3)).suggest(study.ask(), dim=DIM)
        probe = build(params, dim=DIM, num_classes=CLASSES, seed=0)
        hidden = [weight for name, weight in probe.named_parameters() if "hidden" in name and weight.ndim == 2]
        assert len(hidden) == params["mlp.layers"]
        assert all(len(weight) == params["mlp.width"] for weight in hidden)


def test_dropout_follows_the_seed_of_the_probe() -> None:
    read = torch.randn(4, 1, DIM)
    first, second, other = (build(PARAMS, dim=DIM, num_classes=CLASSES, seed=seed).classify(read) for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_wrong_values_are_named() -> None:
    with pytest.raises(ValueError, match=r"mlp\.width = 2\.5"):
        build(PARAMS | {"mlp.width": 2.5}, dim=DIM, num_classes=CLASSES, seed=0)
    with pytest.raises(ValueError, match=r"mlp\.layers = True"):
        build(PARAMS | {"mlp.layers": True}, dim=DIM, num_classes=CLASSES, seed=0)
    with pytest.raises(ValidationError, match=r"mlp\.width"):
        TypeAdapter(MlpSpace).validate_python({"width": [0, 8]})
