"""Optuna studies rebuilt from records, in memory: for what Optuna draws and computes of a study."""

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from tracking.records import Record

_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


def study_of(probes: Sequence[Record], name: str | None = None) -> optuna.Study:
    """Every configuration as a trial with its parameters, score and end; trials are numbered as they come.

    A parameter's range is what the configurations have of it. Pruned ones have their score as an intermediate value.
    """
    space = _space([probe["params"] for probe in probes])
    study = empty_study(name)
    for probe in probes:
        study.add_trial(_trial(probe, space))
    return study


def _trial(probe: Record, space: dict[str, BaseDistribution]) -> FrozenTrial:
    params = {name: plain(value, space[name]) for name, value in probe["params"].items() if name in space}
    complete = probe["state"] == "complete" and probe["score"] is not None
    seen = probe["score"] is not None
    return optuna.trial.create_trial(
        state=_STATES[probe["state"]],
        params=params,
        distributions={name: space[name] for name in params},
        value=float(probe["score"]) if complete else None,
        intermediate_values={int(probe["epoch"]): float(probe["score"])} if seen else {},
        user_attrs={"fold": int(probe["fold"]), "configuration": int(probe["trial"])},
    )


def empty_study(name: str | None = None) -> optuna.Study:
    """A study in memory, made without the line that Optuna prints about it."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(direction="maximize", study_name=name)
    finally:
        optuna.logging.set_verbosity(verbosity)


def shared_space(configurations: Sequence[Record]) -> dict[str, BaseDistribution]:
    """The distributions of the parameters that all configurations have and that differ between them."""
    shared = set.intersection(*(set(configuration) for configuration in configurations))
    return {
        name: found
        for name, found in _space(configurations).items()
        if name in shared and len({repr(configuration[name]) for configuration in configurations}) > 1
    }


def _space(configurations: Sequence[Record]) -> dict[str, BaseDistribution]:
    names = sorted({name for configuration in configurations for name in configuration})
    found = {name: [one[name] for one in configurations if name in one] for name in names}
    return {name: _distribution(values) for name, values in found.items()}


def _distribution(values: Sequence[Any]) -> BaseDistribution:
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if not numeric:
        return CategoricalDistribution(sorted({_text(value) for value in values}))
    low, high = min(values), max(values)
    log = low > 0 and high / low >= 30  # a range this wide was surely searched by orders of magnitude
    if all(isinstance(value, int) for value in values):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)


def plain(value: Any, distribution: BaseDistribution) -> Any:
    """The value as its distribution takes it."""
    return _text(value) if isinstance(distribution, CategoricalDistribution) else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
