"""The probe families there are, by name; a new one is a file of this folder and a line of this table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from search_spaces import attentive, linear, mlp
from search_spaces.optimisation import OPTIM_NAMES
from search_spaces.probe import Probe

if TYPE_CHECKING:  # probes are trained on machines without optuna
    from optuna.trial import BaseTrial


class Space(Protocol):
    """The ranges of a family: a frozen dataclass that checks itself and has a default for every range."""

    def suggest(self, trial: BaseTrial, *, dim: int) -> dict[str, Any]:
        """Parameters `family.name` of one probe over tokens of width `dim`, drawn from the ranges."""


class Family(Protocol):
    """What a family's module offers: its ranges and its probe."""

    @property
    def Space(self) -> type[Space]:  # noqa: N802 - it is a class
        """The dataclass of the family's ranges."""

    def build(self, params: Mapping[str, Any], *, dim: int, num_classes: int, seed: int) -> Probe:
        """The probe that `params` (keys `family.name`) describe, its weights drawn from `seed` alone."""


FAMILIES: dict[str, Family] = {"attentive": attentive, "linear": linear, "mlp": mlp}


def build_probe(family: str, params: Mapping[str, Any], *, dim: int, num_classes: int, seed: int) -> Probe:
    """The probe of a family with `params`, which may hold `family` and the settings of the optimisation too.

    Raises ValueError on an unknown family, and on a parameter that nothing would read.
    """
    if family not in FAMILIES:
        raise ValueError(f"family = {family!r} is unknown: choose one of {sorted(FAMILIES)}")
    if params.get("family", family) != family:
        raise ValueError(f"parameter family = {params['family']!r} contradicts the family {family!r}")
    known = {"family", *OPTIM_NAMES}
    stray = sorted(key for key in params if key not in known and not key.startswith(f"{family}."))
    if stray:
        raise ValueError(f"parameter {stray[0]} is not used by the {family} probe nor by its optimisation")
    return FAMILIES[family].build(params, dim=dim, num_classes=num_classes, seed=seed)
