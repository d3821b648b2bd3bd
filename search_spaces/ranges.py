"""Checks that ranges and parameters make sense, with errors that name the key."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any


def check_choices(
    key: str,
    choices: Sequence[float],
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    most: float = math.inf,
) -> None:
    """Raise ValueError unless `choices` are distinct numbers, at least one, greater than `above`, `least` to `most`."""
    if not choices:
        raise ValueError(f"{key} is empty: give at least one choice")
    if len(set(choices)) < len(choices):
        raise ValueError(f"{key} = {list(choices)} names a choice twice: leave one out")
    for choice in choices:
        if not choice > above:
            raise ValueError(f"{key} = {list(choices)}: every choice must be greater than {above}, not {choice}")
        if not least <= choice <= most:
            raise ValueError(f"{key} = {list(choices)}: every choice must be from {least} to {most}, not {choice}")


def check_range(key: str, limits: tuple[float, float], *, low: float, high: float) -> None:
    """Raise ValueError unless `limits` are two ascending numbers within [low, high]."""
    first, last = limits
    if not low <= first <= last <= high:
        raise ValueError(
            f"{key} = [{first}, {last}] must be two numbers [low, high] with {low} <= low <= high <= {high}"
        )


def own_params(params: Mapping[str, Any], family: str, names: Collection[str]) -> dict[str, Any]:
    """The parameters `family.name` out of `params`, by name.

    Raises ValueError when one of `names` is missing or when `params` holds one that the family does not know.
    """
    prefix = f"{family}."
    own = {key.removeprefix(prefix): value for key, value in params.items() if key.startswith(prefix)}
    missing, unknown = sorted(set(names) - set(own)), sorted(set(own) - set(names))
    if missing:
        raise ValueError(f"parameter {prefix}{missing[0]} is missing: the {family} probe needs {sorted(names)}")
    if unknown:
        raise ValueError(f"parameter {prefix}{unknown[0]} is unknown: the {family} probe knows {sorted(names)}")
    return own


def whole(key: str, value: Any, *, least: int = 1) -> int:
    """`value` as a whole number of at least `least`, or ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value % 1 != 0 or value < least:
        raise ValueError(f"{key} = {value!r} must be a whole number of at least {least}")
    return int(value)


def share(key: str, value: Any) -> float:
    """`value` as a number in [0, 1), or ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"{key} = {value!r} must be a number from 0 to below 1")
    return float(value)


def positive(key: str, value: Any) -> float:
    """`value` as a number above 0, or ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{key} = {value!r} must be a number greater than 0")
    return float(value)


def check_names(key: str, choices: Sequence[str], known: Collection[str]) -> None:
    """Raise ValueError unless `choices` are distinct and known, at least one."""
    if not choices or len(set(choices)) < len(choices):
        raise ValueError(f"{key} = {list(choices)}: give at least one of {list(known)}, each once")
    for choice in choices:
        if choice not in known:
            raise ValueError(f"{key} = {list(choices)}: {choice} is unknown, choose from {list(known)}")


def dividing(key: str, choices: Sequence[int], dim: int) -> tuple[int, ...]:
    """Those of the choices that divide the encoder's width, or ValueError when none does."""
    fitting = tuple(count for count in choices if dim % count == 0)
    if not fitting:
        raise ValueError(f"{key} = {list(choices)}: none divides the encoder's width {dim}; add one")
    return fitting
