"""One probe of a pack in training: its weights, how they move, what it has shown, and when it ends."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from distributed.halving import Standing
from distributed.losses import ProbeLoss
from distributed.probe_results import ProbeResult, ProbeSpec
from distributed.schedules import ProbeOptimizer
from distributed.view_draws import TRAINING_VIEWS, TrainingViews
from distributed.weight_average import WeightAverage
from search_spaces.family import build_probe
from search_spaces.optimisation import OptimSettings
from search_spaces.probe import FittedProbe, TokenGrid


@dataclass(frozen=True)
class TrainingConfig:
    """How every probe is trained. The defaults, halving apart, are the published recipe.

    `rungs`: shares of the epochs after which a pack is thinned, none to train every probe to the end; `keep`:
    the share that goes on; `clip_grad`: the largest norm of a probe's gradient. `patience`: a probe ends when its inner
    score has not risen for so many epochs, and every probe counts with its best epoch, the first of equals; 0 trains
    all to the last epoch. `views`: of which passes an epoch takes one: all, only the augmented ones, or only the
    clean one.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    epochs: int = 20
    rungs: tuple[float, ...] = (0.25, 0.5)
    keep: float = 0.5
    clip_grad: float = 1.0
    final_weight_decay: float = 1e-6
    patience: int = 0
    views: TrainingViews = "all"

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"training.epochs = {self.epochs} must be at least 1")
        if not all(0 < rung < 1 for rung in self.rungs):
            raise ValueError(f"training.rungs = {list(self.rungs)} must be shares of the epochs, between 0 and 1")
        if not 0 < self.keep <= 1:
            raise ValueError(f"training.keep = {self.keep} must be a share above 0 and at most 1")
        if not self.clip_grad > 0:
            raise ValueError(f"training.clip_grad = {self.clip_grad} must be greater than 0")
        if not self.final_weight_decay >= 0:
            raise ValueError(f"training.final_weight_decay = {self.final_weight_decay} must not be negative")
        if not self.patience >= 0:
            raise ValueError(f"training.patience = {self.patience} must be a number of epochs, or 0 for none")
        if self.patience >= self.epochs:
            raise ValueError(
                f"training.patience = {self.patience} never ends a training of {self.epochs} epochs; set 0 or less "
                "than training.epochs"
            )
        if self.views not in TRAINING_VIEWS:
            raise ValueError(f"training.views = {self.views} must be one of {', '.join(TRAINING_VIEWS)}")


@dataclass(frozen=True)
class Task:
    """What the probes of a pack have in common: sizes, the weights of balanced classes float[C], the device."""

    dim: int
    grid: TokenGrid
    num_classes: int
    num_train: int
    class_weights: Tensor
    config: TrainingConfig
    device: torch.device


class Learner:
    """A probe in training. `ended`: it has come to its end as complete, and `result` has its weights."""

    def __init__(self, spec: ProbeSpec, task: Task) -> None:
        self.spec, self.settings, self._config = spec, OptimSettings.from_params(spec.params), task.config
        sizes = {"dim": task.dim, "num_classes": task.num_classes}
        probe = build_probe(spec.family, spec.params, **sizes, seed=spec.seed, grid=task.grid)
        self.probe = probe.to(task.device)
        self.fitted = probe if isinstance(probe, FittedProbe) else None
        self.optimizer = ProbeOptimizer(
            self.probe,
            self.settings,
            total_steps=task.config.epochs * math.ceil(task.num_train / self.settings.batch_size),
            clip_grad=task.config.clip_grad,
            final_weight_decay=task.config.final_weight_decay,
        )
        self.loss = ProbeLoss(self.settings, class_weights=task.class_weights, seed=spec.seed)
        self._average = WeightAverage(self.probe, self.settings.averaging) if self.settings.averaging else None
        self.result = ProbeResult(spec, sum(weight.numel() for weight in self.probe.parameters()))
        # Losses of the epoch's steps, left on the device: reading each would wait for it.
        self.losses: list[Tensor] = []
        self.ended = False
        self._best: float | None = None
        self._best_epoch = 0
        self._best_state: dict[str, Tensor] | None = None

    @property
    def standing(self) -> Standing:
        """How it does after its last epoch."""
        row = self.result.curves[-1]
        return Standing(self.spec.trial, row["validation_uar"], row["validation_loss"])

    def step(self, loss: Tensor) -> None:
        """Take the step whose gradients are in the probe."""
        self.optimizer.step()
        if self._average is not None:
            self._average.update()
        self.losses.append(loss.detach())

    @contextmanager
    def scored_weights(self) -> Iterator[None]:
        """The probe has the weights in the block that are scored and kept: the averages, where there are some."""
        if self._average is None:
            yield
        else:
            with self._average.in_place():
                yield

    def close_epoch(self, epoch: int, sizes: Sequence[int]) -> None:
        """Begin the epoch's curve row, or fail; `sizes` are the numbers of videos of its steps."""
        losses = torch.stack(self.losses).cpu().numpy().astype(np.float64)
        self.losses.clear()
        bad = np.flatnonzero(~np.isfinite(losses))
        if len(bad):
            step = (epoch - 1) * len(losses) + int(bad[0]) + 1
            self.fail(f"training loss is {losses[bad[0]]} at step {step} (epoch {epoch})")
        elif not self.optimizer.finite():
            self.fail(f"weights are not finite after epoch {epoch}")
        else:
            rate = None if self.fitted is not None else self.optimizer.lr
            row = {"epoch": epoch, "lr": rate, "train_loss": float(np.average(losses, weights=sizes))}
            nothing = {"validation_loss": None, "validation_uar": None, "validation_war": None}
            self.result.curves.append({**row, **nothing})
            self.result.best_epoch = epoch

    def fail(self, what: str) -> None:
        """Leave the pack; `what` came to be at which step or epoch."""
        fix = "try a larger l2" if self.fitted is not None else "try a lower lr"
        self.result.state, self.result.reason = "failed", f"{what}; {fix}"
        self.result.score = self.result.best_epoch = None

    def take_score(self, *, uar: float, war: float, loss: float) -> None:
        """The scores of the epoch on the validation videos; with patience its weights are kept if it is the best."""
        self.result.curves[-1].update(validation_loss=loss, validation_uar=uar, validation_war=war)
        self.result.score = uar
        if self._config.patience and (self._best is None or uar > self._best):
            self._best, self._best_epoch = uar, self.result.epoch
            with self.scored_weights():
                self._best_state = {name: value.clone() for name, value in self.probe.state_dict().items()}

    def end_if_due(self) -> None:
        """End at its last epoch, by patience, or at once when it is fitted."""
        last = min(self._config.epochs, self.spec.epochs or self._config.epochs)
        tired = self._best is not None and self.result.epoch - self._best_epoch >= self._config.patience
        if self.fitted is None and self.result.epoch < last and not tired:
            return
        if self._best is not None:
            self.result.score, self.result.best_epoch = self._best, self._best_epoch
        with self.scored_weights():
            state = self._best_state or self.probe.state_dict()
            self.result.state_dict = {name: value.detach().cpu().clone() for name, value in state.items()}
        self.ended = True

    def prune(self) -> None:
        """Leave the pack as one of the weaker."""
        self.result.state = "pruned"
        self.result.reason = f"among the weaker at epoch {self.result.epoch}"
