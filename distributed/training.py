"""Training a pack of probes on tokens that are read once for all of them.

Each probe is trained as if it were alone: its own weights, optimiser, batch size and random numbers. The
pack shares what is costly, the reading and standardising of tokens, and the readout of all probes that are
at the same step. A probe whose numbers stop being finite leaves the pack as failed; weaker ones leave it at
the rungs.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distributed.halving import Standing, pruned, rung_epochs
from distributed.metrics import confusion_matrix, uar, war
from distributed.prediction import pack_logits, predict_probabilities, probabilities_of
from distributed.prepared_source import PreparedSource
from distributed.probe_results import CurveRow, ProbeResult, ProbeSpec, probe_record
from distributed.readout import PreparedTokens
from distributed.schedules import ProbeOptimizer
from distributed.token_source import Rows, TensorTokens, TokenSource
from distributed.view_draws import TRAINING_VIEWS, TrainingViews
from search_spaces.family import build_probe
from search_spaces.optimisation import OptimSettings

__all__ = [
    "ProbeResult",
    "ProbeSpec",
    "TensorTokens",
    "TokenSource",
    "TrainingConfig",
    "predict_probabilities",
    "probe_record",
    "train_pack",
]

OnEpoch = Callable[[int, dict[int, CurveRow]], None]


@dataclass(frozen=True)
class TrainingConfig:
    """How every probe is trained. The defaults, halving apart, are the published recipe.

    `rungs`: shares of the epochs after which a pack is thinned, none to train every probe to the end; `keep`:
    the share that goes on; `clip_grad`: the largest norm of a probe's gradient. `views`: of which passes an epoch
    takes one: all, only the augmented ones, or only the clean one.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    epochs: int = 20
    rungs: tuple[float, ...] = (0.25, 0.5)
    keep: float = 0.5
    clip_grad: float = 1.0
    final_weight_decay: float = 1e-6
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
        if self.views not in TRAINING_VIEWS:
            raise ValueError(f"training.views = {self.views} must be one of {', '.join(TRAINING_VIEWS)}")


class _Learner:
    """A probe in training."""

    def __init__(self, spec: ProbeSpec, run: "_Run") -> None:
        self.spec = spec
        self.settings = OptimSettings.from_params(spec.params)
        dim, num_classes = run.tokens.shape[1], run.num_classes
        grid = run.tokens.grid
        probe = build_probe(spec.family, spec.params, dim=dim, num_classes=num_classes, seed=spec.seed, grid=grid)
        self.probe = probe.to(run.device)
        self.optimizer = ProbeOptimizer(
            self.probe,
            self.settings,
            total_steps=run.config.epochs * math.ceil(len(run.train) / self.settings.batch_size),
            clip_grad=run.config.clip_grad,
            final_weight_decay=run.config.final_weight_decay,
        )
        self.result = ProbeResult(spec, sum(weight.numel() for weight in self.probe.parameters()))
        # Losses of the epoch's steps, left on the device: reading each would wait for it.
        self.losses: list[Tensor] = []


@dataclass
class _Run:
    """What a pack is trained on."""

    tokens: TokenSource
    labels: Rows
    train: Rows
    validation: Rows
    config: TrainingConfig
    num_classes: int
    seed: int
    device: torch.device
    prepared: PreparedSource
    learners: list[_Learner] = field(default_factory=list)

    def leave(self) -> None:
        """Let those go that have failed or were pruned."""
        self.learners = [learner for learner in self.learners if learner.result.state == "complete"]


def train_pack(
    tokens: TokenSource,
    labels: Rows,
    train: Rows,
    validation: Rows,
    specs: Sequence[ProbeSpec],
    config: TrainingConfig,
    *,
    num_classes: int,
    seed: int,
    device: str = "cpu",
    on_epoch: OnEpoch | None = None,
) -> list[ProbeResult]:
    """Train a pack and return the results in the order of `specs`.

    `labels` int64[num_videos] holds the class of every video of `tokens`, `train` and `validation` the
    numbers of the videos to learn from and to score by; without the latter no probe is pruned. The order of
    the training videos follows from `seed` and the epoch alone. `on_epoch` is told the epoch, from 1, and
    the new curve row of each probe that took part and did not fail, by trial.

    Raises ValueError on bad parameters of a probe, no training video, or a label outside 0 .. num_classes-1.
    """
    used = labels[np.concatenate([train, validation])]
    if not len(train):
        raise ValueError("there is no video to train on")
    if used.min() < 0 or used.max() >= num_classes:
        raise ValueError(f"labels run from {used.min()} to {used.max()}, outside 0 to {num_classes - 1}")
    where = torch.device(device)
    prepared = PreparedSource(tokens, np.concatenate([train, validation]), where)
    run = _Run(tokens, labels, train, validation, config, num_classes, seed, where, prepared)
    everyone = [_Learner(spec, run) for spec in specs]
    run.learners = list(everyone)
    rungs = rung_epochs(config.rungs, config.epochs) if len(validation) else frozenset()
    for epoch in range(1, config.epochs + 1):
        if not run.learners:
            break
        rows = _epoch(run, epoch)
        if epoch in rungs:
            _thin(run)
        if on_epoch is not None:
            on_epoch(epoch, rows)
    for learner in run.learners:
        state = learner.probe.state_dict()
        learner.result.state_dict = {name: value.detach().cpu().clone() for name, value in state.items()}
    return [learner.result for learner in everyone]


def _epoch(run: _Run, epoch: int) -> dict[int, CurveRow]:
    """One epoch of the pack: train, sort out the failed, score. Returns the new curve rows by trial."""
    began, present = time.perf_counter(), list(run.learners)
    for learner in present:
        learner.result.epoch = epoch
    sizes = _train(run, epoch)
    for learner in present:
        _close_epoch(learner, epoch, sizes[learner.settings.batch_size])
    run.leave()
    if len(run.validation) and run.learners:
        _score(run, epoch)
        run.leave()
    for learner in present:
        learner.result.seconds += (time.perf_counter() - began) / len(present)
    return {learner.spec.trial: learner.result.curves[-1] for learner in run.learners}


def _train(run: _Run, epoch: int) -> dict[int, list[int]]:
    """Train on every training video once; returns the number of videos of each step, by batch size.

    A read is as large as the largest batch. The others divide it, so that each probe takes its own whole
    batches from it, side by side with those that have the same batch size.
    """
    order = np.random.default_rng([run.seed, epoch]).permutation(run.train)
    groups: dict[int, list[_Learner]] = {}
    for learner in run.learners:
        groups.setdefault(learner.settings.batch_size, []).append(learner)
    sizes: dict[int, list[int]] = {size: [] for size in groups}
    for start in range(0, len(order), max(groups)):
        rows = order[start : start + max(groups)]
        tokens = run.prepared.gather(rows, epoch)
        labels = torch.from_numpy(run.labels[rows]).to(run.device)
        for size, group in groups.items():
            for first in range(0, len(rows), size):
                part = slice(first, min(first + size, len(rows)))
                _step(group, tokens.rows(part.start, part.stop), labels[part])
                sizes[size].append(part.stop - part.start)
    return sizes


def _step(group: Sequence[_Learner], tokens: PreparedTokens, labels: Tensor) -> None:
    """One optimiser step of every probe of a group on its common batch."""
    losses = [
        F.cross_entropy(logits, labels, label_smoothing=learner.settings.label_smoothing)
        for learner, logits in zip(group, pack_logits([learner.probe for learner in group], tokens), strict=True)
    ]
    # Probes share no weight: the gradient of the sum is each one's own.
    torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
    for learner, loss in zip(group, losses, strict=True):
        learner.optimizer.step()
        learner.losses.append(loss.detach())


def _close_epoch(learner: _Learner, epoch: int, sizes: Sequence[int]) -> None:
    """Begin the epoch's curve row, or mark the probe as failed."""
    losses = torch.stack(learner.losses).cpu().numpy().astype(np.float64)
    learner.losses.clear()
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        step = (epoch - 1) * len(losses) + int(bad[0]) + 1
        _fail(learner, f"training loss is {losses[bad[0]]} at step {step} (epoch {epoch}); try a lower lr")
    elif not learner.optimizer.finite():
        _fail(learner, f"weights are not finite after epoch {epoch}; try a lower lr")
    else:
        row = {
            "epoch": epoch,
            "lr": learner.optimizer.lr,
            "train_loss": float(np.average(losses, weights=sizes)),
        }
        nothing = {"validation_loss": None, "validation_uar": None, "validation_war": None}
        learner.result.curves.append({**row, **nothing})


def _fail(learner: _Learner, reason: str) -> None:
    learner.result.state, learner.result.reason, learner.result.score = "failed", reason, None


def _score(run: _Run, epoch: int) -> None:
    """Add the scores on the validation videos to the curve rows of the pack, or mark probes as failed."""
    probes = [learner.probe for learner in run.learners]
    labels = run.labels[run.validation]
    probabilities = probabilities_of(run.prepared.evaluation_views, run.validation, probes)
    for learner, mine in zip(run.learners, probabilities, strict=True):
        if not np.isfinite(mine).all():
            _fail(learner, f"validation scores are not finite after epoch {epoch}; try a lower lr")
            continue
        confusion = confusion_matrix(labels, mine.argmax(axis=-1), run.num_classes)
        hit = np.maximum(mine[np.arange(len(labels)), labels], np.finfo(np.float32).tiny)
        learner.result.score = uar(confusion)
        learner.result.curves[-1].update(
            validation_loss=float(-np.log(hit).mean()),
            validation_uar=uar(confusion),
            validation_war=war(confusion),
        )


def _thin(run: _Run) -> None:
    """Successive halving: the weaker probes leave the pack."""
    standings = [
        Standing(one.spec.trial, one.result.curves[-1]["validation_uar"], one.result.curves[-1]["validation_loss"])
        for one in run.learners
    ]
    weaker = pruned(standings, run.config.keep)
    for learner in run.learners:
        if learner.spec.trial in weaker:
            learner.result.state = "pruned"
            learner.result.reason = f"among the weaker at epoch {learner.result.epoch}"
    run.leave()
