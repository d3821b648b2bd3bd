"""The ranges of the optimisation and the settings they give."""

import math
from typing import Any

import optuna
import pytest
from pydantic import TypeAdapter, ValidationError

from search_spaces.optimisation import OptimisationSpace, OptimSettings


def test_suggestions_stay_within_the_ranges_and_make_settings() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = OptimisationSpace(lr=(1e-4, 1e-2), batch_size=(8, 16))
    rates = []
    for _ in range(200):
        settings = OptimSettings.from_params({"family": "linear", **space.suggest(study.ask())})
        assert settings.batch_size in (8, 16)
        assert space.weight_decay[0] <= settings.weight_decay <= space.weight_decay[1]
        assert 0 <= settings.warmup <= 0.2 and 0 <= settings.label_smoothing <= 0.2
        rates.append(math.log10(settings.lr))
    assert min(rates) >= -4 and max(rates) <= -2
    # On a logarithmic scale half of them lie below the geometric mean, 1e-3.
    assert 70 < sum(rate < -3 for rate in rates) < 130


def test_defaults_are_the_published_recipe() -> None:
    settings = OptimSettings.from_params({"attentive.heads": 16})
    assert settings == OptimSettings(1e-3, 0.01, warmup=0.0, batch_size=4, label_smoothing=0.0)


def test_settings_that_are_not_searched_are_no_parameters_and_todays_search_stays_the_same() -> None:
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    params = OptimisationSpace().suggest(trial)
    assert list(params) == list(trial.params) == ["lr", "weight_decay", "warmup", "batch_size", "label_smoothing"]
    # One fixed to something else is told without being a parameter of the search.
    fixed = OptimisationSpace(mixup=(0.2,), class_weights=("balanced",), clip_grad=(0.5, 0.5), averaging=(0.99,))
    trial = optuna.create_study().ask()
    params = fixed.suggest(trial)
    told = {"mixup": 0.2, "class_weights": "balanced", "clip_grad": 0.5, "averaging": 0.99}
    assert {name: params.get(name) for name in told} == told and not set(told) & set(trial.params)


def test_every_setting_can_be_searched_and_those_of_another_optimizer_are_not_suggested() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = OptimisationSpace(
        optimizer=("adamw", "sgd"),
        momentum=(0.5, 0.95),
        clip_grad=(0.1, 10.0),
        class_weights=("none", "balanced"),
        mixup=(0.0, 0.2),
        averaging=(0.0, 0.99),
    )
    seen = set()
    for _ in range(40):
        trial = study.ask()
        params = space.suggest(trial)
        assert params == trial.params
        seen.add(params["optimizer"])
        other = {"lr"} if params["optimizer"] == "sgd" else {"sgd_lr", "momentum"}
        assert not other & set(params)
        settings = OptimSettings.from_params(params)
        assert settings.peak_lr == params["sgd_lr" if params["optimizer"] == "sgd" else "lr"]
        assert settings.clip_grad is not None and 0.1 <= settings.clip_grad <= 10
    assert seen == {"adamw", "sgd"}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lr": 0.0}, "lr = 0"),
        ({"lr": math.nan}, "lr = nan"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"warmup": 1.5}, "warmup"),
        ({"batch_size": 12}, "12 is not a power of two"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"optimizer": "adam"}, "optimizer.*adam is unknown"),
        ({"sgd_lr": 0.0}, "sgd_lr = 0"),
        ({"momentum": 1.0}, "momentum = 1"),
        ({"clip_grad": 0.0}, "clip_grad = 0"),
        ({"class_weights": "even"}, "class_weights.*even"),
        ({"mixup": -0.1}, "mixup = -0.1"),
        ({"averaging": 1.0}, "averaging = 1"),
    ],
)
def test_settings_that_make_no_sense_are_named(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OptimSettings.from_params(params)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"lr": [1e-2, 1e-4]}, r"optimisation\.lr = \[0\.01, 0\.0001\]"),
        ({"weight_decay": [0, 0.1]}, r"optimisation\.weight_decay"),
        ({"batch_size": [4, 6]}, r"optimisation\.batch_size: 6 is not a power of two"),
        ({"warmup": [0, 2]}, r"optimisation\.warmup"),
        ({"rate": [0, 1]}, "rate"),
        ({"optimizer": ["adam"]}, r"optimisation\.optimizer"),
        ({"class_weights": []}, r"optimisation\.class_weights"),
        ({"mixup": [-1]}, r"optimisation\.mixup"),
        ({"averaging": [0, 1]}, r"optimisation\.averaging"),
        ({"clip_grad": [0, 1]}, r"optimisation\.clip_grad"),
        ({"sgd_lr": [0.1, 0.2]}, r"optimisation\.sgd_lr is not used without the optimizer sgd"),
        ({"momentum": [0.5, 0.9]}, r"optimisation\.momentum is not used"),
        ({"optimizer": ["sgd"], "lr": [1e-3, 1e-2]}, r"optimisation\.lr is not used without the optimizer adamw"),
    ],
)
def test_ranges_that_make_no_sense_are_named(ranges: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(OptimisationSpace).validate_python(ranges)
