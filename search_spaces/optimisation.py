"""The ranges of the optimisation, and the settings one probe is trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from search_spaces.ranges import check_choices, check_names, check_range

if TYPE_CHECKING:  # probes are trained on machines without optuna
    from optuna.trial import BaseTrial

OPTIMIZERS = ("adamw", "sgd")
CLASS_WEIGHTS = ("none", "balanced")


def _check_power_of_two(key: str, value: int) -> None:
    if value < 1 or value & (value - 1):
        raise ValueError(f"{key}: {value} is not a power of two; probes that share a read of tokens need one")


@dataclass(frozen=True)
class OptimSettings:
    """How one probe is trained. The defaults are the published recipe of the attentive probe.

    `warmup` is a share of the epochs, in [0, 1]; `batch_size` counts videos and is a power of two. `optimizer`: adamw,
    at the rate `lr`, or sgd with `momentum`, at the rate `sgd_lr`. `clip_grad`: the largest norm of the gradient; None
    for that of the training. `class_weights`: none, or balanced, which weighs a video so that all classes count alike.
    `mixup`: alpha of the Beta distribution that readouts and targets are mixed with; 0 for none. `averaging`: decay of
    the running average of the weights, which is what is scored and kept; 0 for none.
    """

    lr: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.0
    batch_size: int = 4
    label_smoothing: float = 0.0
    optimizer: str = "adamw"
    sgd_lr: float = 0.03
    momentum: float = 0.9
    clip_grad: float | None = None
    class_weights: str = "none"
    mixup: float = 0.0
    averaging: float = 0.0

    def __post_init__(self) -> None:
        for name in ("lr", "sgd_lr"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)} must be greater than 0")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay = {self.weight_decay} must not be negative")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"warmup = {self.warmup} must be a share of the epochs, from 0 to 1")
        for name in ("label_smoothing", "momentum", "averaging"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be from 0 to below 1")
        if self.clip_grad is not None and not self.clip_grad > 0:
            raise ValueError(f"clip_grad = {self.clip_grad} must be greater than 0")
        if not 0 <= self.mixup <= 100:
            raise ValueError(f"mixup = {self.mixup} must be from 0 to 100")
        check_names("optimizer", [self.optimizer], OPTIMIZERS)
        check_names("class_weights", [self.class_weights], CLASS_WEIGHTS)
        _check_power_of_two("batch_size", self.batch_size)

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> OptimSettings:
        """The settings among a probe's parameters; those that are not there keep their defaults."""
        return cls(**{name: params[name] for name in OPTIM_NAMES if name in params})

    @property
    def peak_lr(self) -> float:
        """The largest learning rate of the optimiser that is used."""
        return self.sgd_lr if self.optimizer == "sgd" else self.lr


OPTIM_NAMES = tuple(field.name for field in fields(OptimSettings))


@dataclass(frozen=True)
class OptimisationSpace:
    """What is searched about the optimisation: [low, high] of a range, or a list of choices.

    `lr`, `weight_decay`, `warmup`, `label_smoothing`, `sgd_lr`, `momentum` and `clip_grad` are ranges; `batch_size`,
    `optimizer`, `class_weights`, `mixup` and `averaging` choices. What they mean: `OptimSettings`. A single choice and
    a range of one number fix a setting. `sgd_lr` and `momentum` belong to the optimiser sgd, `lr` to adamw; without
    `clip_grad` every probe has `training.clip_grad`.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    lr: tuple[float, float] = (1e-4, 1e-2)
    weight_decay: tuple[float, float] = (1e-4, 1e-1)
    warmup: tuple[float, float] = (0.0, 0.2)
    batch_size: tuple[int, ...] = (4, 8, 16, 32)
    label_smoothing: tuple[float, float] = (0.0, 0.2)
    optimizer: tuple[str, ...] = ("adamw",)
    sgd_lr: tuple[float, float] = (3e-3, 3e-1)
    momentum: tuple[float, float] = (0.9, 0.9)
    clip_grad: tuple[float, float] | None = None
    class_weights: tuple[str, ...] = ("none",)
    mixup: tuple[float, ...] = (0.0,)
    averaging: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        # lr and weight_decay are searched on a logarithmic scale, which has no zero.
        check_range("optimisation.lr", self.lr, low=1e-12, high=1e3)
        check_range("optimisation.weight_decay", self.weight_decay, low=1e-12, high=1e3)
        check_range("optimisation.warmup", self.warmup, low=0.0, high=1.0)
        check_range("optimisation.label_smoothing", self.label_smoothing, low=0.0, high=0.9)
        check_choices("optimisation.batch_size", self.batch_size, above=0)
        for size in self.batch_size:
            _check_power_of_two("optimisation.batch_size", size)
        check_names("optimisation.optimizer", self.optimizer, OPTIMIZERS)
        check_range("optimisation.sgd_lr", self.sgd_lr, low=1e-12, high=1e3)
        check_range("optimisation.momentum", self.momentum, low=0.0, high=0.999)
        if self.clip_grad is not None:
            check_range("optimisation.clip_grad", self.clip_grad, low=1e-6, high=1e6)
        check_names("optimisation.class_weights", self.class_weights, CLASS_WEIGHTS)
        check_choices("optimisation.mixup", self.mixup, least=0, most=100)
        check_choices("optimisation.averaging", self.averaging, least=0, most=0.9999)
        self._refuse_unused()

    def _refuse_unused(self) -> None:
        for optimizer, names in (("adamw", ("lr",)), ("sgd", ("sgd_lr", "momentum"))):
            for name in names:
                if optimizer not in self.optimizer and getattr(self, name) != _default(name):
                    raise ValueError(
                        f"optimisation.{name} is not used without the optimizer {optimizer}: remove it, or add "
                        f"{optimizer} to optimisation.optimizer = {list(self.optimizer)}"
                    )

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """The settings of one probe, by the names of `OptimSettings`: those searched, and fixed ones that differ."""
        optimizer = _choice(trial, "optimizer", self.optimizer)
        rate = {"lr": self.lr} if optimizer == "adamw" else {"sgd_lr": self.sgd_lr}
        found: dict[str, Any] = {name: trial.suggest_float(name, *limits, log=True) for name, limits in rate.items()}
        found |= {
            "weight_decay": trial.suggest_float("weight_decay", *self.weight_decay, log=True),
            "warmup": trial.suggest_float("warmup", *self.warmup),
            "batch_size": trial.suggest_categorical("batch_size", self.batch_size),
            "label_smoothing": trial.suggest_float("label_smoothing", *self.label_smoothing),
        }
        further: dict[str, Any] = {"optimizer": optimizer}
        if optimizer == "sgd":
            further["momentum"] = _number(trial, "momentum", self.momentum)
        if self.clip_grad is not None:
            further["clip_grad"] = _number(trial, "clip_grad", self.clip_grad, log=True)
        for name in ("class_weights", "mixup", "averaging"):
            further[name] = _choice(trial, name, getattr(self, name))
        defaults = OptimSettings()
        return found | {
            name: value for name, value in further.items() if name in trial.params or value != getattr(defaults, name)
        }


def _default(name: str) -> Any:
    return next(field.default for field in fields(OptimisationSpace) if field.name == name)


def _choice(trial: BaseTrial, name: str, choices: tuple[Any, ...]) -> Any:
    """One of several; a single one is no parameter of the trial."""
    return choices[0] if len(choices) == 1 else trial.suggest_categorical(name, choices)


def _number(trial: BaseTrial, name: str, limits: tuple[float, float], *, log: bool = False) -> float:
    """A number between two; where they are equal it is no parameter of the trial."""
    return limits[0] if limits[0] == limits[1] else trial.suggest_float(name, *limits, log=log)
