"""What a file of this folder declares to be a probe family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from search_spaces.probe import Probe, TokenGrid

if TYPE_CHECKING:  # probes are trained on machines without optuna
    from optuna.trial import BaseTrial


class Space(Protocol):
    """The ranges of a family: a frozen dataclass that checks itself and has a default for every range."""

    def suggest(self, trial: BaseTrial, *, dim: int) -> dict[str, Any]:
        """Parameters `family.name` of one probe over tokens of width `dim`, drawn from the ranges."""


class Build(Protocol):
    """Makes a family's probe."""

    def __call__(
        self, params: Mapping[str, Any], *, dim: int, num_classes: int, seed: int, grid: TokenGrid | None
    ) -> Probe:
        """The probe that `params` (keys `family.name`) describe, its weights drawn from `seed` alone.

        `grid` is how a video's tokens lie; None where nobody knows, which a family that needs it refuses.
        """


@dataclass(frozen=True)
class Family:
    """A probe family: its name, the dataclass of its ranges, and what makes its probes.

    `mixes`: its probes are `MixingProbe`s; `fitted`: they are `FittedProbe`s, which no setting of the optimisation
    concerns.
    """

    name: str
    Space: type[Space]
    build: Build
    mixes: bool = False
    fitted: bool = False
