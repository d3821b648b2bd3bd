"""The ranges of the optimisation and the settings they give."""

import math

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


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lr": 0.0}, "lr = 0"),
        ({"lr": math.nan}, "lr = nan"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"warmup": 1.5}, "warmup"),
        ({"batch_size": 12}, "12 is not a power of two"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
    ],
)
def test_settings_that_make_no_sense_are_named(params: dict[str, float], message: str) -> None:
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
    ],
)
def test_ranges_that_make_no_sense_are_named(ranges: dict[str, list[float]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(OptimisationSpace).validate_python(ranges)
