"""The ranges of the optimisation, and the settings one probe is trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from search_spaces.ranges import check_choices, check_range

if TYPE_CHECKING:  # probes are trained on machines without optuna
    from optuna.trial import BaseTrial


def _check_power_of_two(key: str, value: int) -> None:
    if value < 1 or value & (value - 1):
        raise ValueError(f"{key}: {value} is not a power of two; probes that share a read of tokens need one")


@dataclass(frozen=True)
class OptimSettings:
    """How one probe is trained. The defaults are the published recipe of the attentive probe.

    `warmup` is a share of the epochs, in [0, 1]; `batch_size` counts videos and is a power of two.
    """

    lr: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.0
    batch_size: int = 4
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ValueError(f"lr = {self.lr} must be greater than 0")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay = {self.weight_decay} must not be negative")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"warmup = {self.warmup} must be a share of the epochs, from 0 to 1")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing = {self.label_smoothing} must be from 0 to below 1")
        _check_power_of_two("batch_size", self.batch_size)

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> OptimSettings:
        """The settings among a probe's parameters; those that are not there keep their defaults."""
        return cls(**{name: params[name] for name in OPTIM_NAMES if name in params})


OPTIM_NAMES = tuple(field.name for field in fields(OptimSettings))


@dataclass(frozen=True)
class OptimisationSpace:
    """What is searched about the optimisation: [low, high] ranges, and the choices of the batch size."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    lr: tuple[float, float] = (1e-4, 1e-2)
    weight_decay: tuple[float, float] = (1e-4, 1e-1)
    warmup: tuple[float, float] = (0.0, 0.2)
    batch_size: tuple[int, ...] = (4, 8, 16, 32)
    label_smoothing: tuple[float, float] = (0.0, 0.2)

    def __post_init__(self) -> None:
        # lr and weight_decay are searched on a logarithmic scale, which has no zero.
        check_range("optimisation.lr", self.lr, low=1e-12, high=1e3)
        check_range("optimisation.weight_decay", self.weight_decay, low=1e-12, high=1e3)
        check_range("optimisation.warmup", self.warmup, low=0.0, high=1.0)
        check_range("optimisation.label_smoothing", self.label_smoothing, low=0.0, high=0.9)
        check_choices("optimisation.batch_size", self.batch_size, above=0)
        for size in self.batch_size:
            _check_power_of_two("optimisation.batch_size", size)

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """The settings of one probe, by the names of `OptimSettings`."""
        return {
            "lr": trial.suggest_float("lr", *self.lr, log=True),
            "weight_decay": trial.suggest_float("weight_decay", *self.weight_decay, log=True),
            "warmup": trial.suggest_float("warmup", *self.warmup),
            "batch_size": trial.suggest_categorical("batch_size", self.batch_size),
            "label_smoothing": trial.suggest_float("label_smoothing", *self.label_smoothing),
        }
