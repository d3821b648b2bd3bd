"""How one probe's weights move: learning rate and weight decay by step, clipping, AdamW.

The timing is that of the published recipe: both schedules are advanced before the step they serve, and the
one of the learning rate once more when it is made, so that step i (from 0) of T learns at (i + 2) / T of
the cosine, which the last step overshoots by one, and decays at (i + 1) / T.
"""

import math
from typing import Any

import torch
from torch import nn

from search_spaces.optimisation import OptimSettings


def learning_rate(step: int, total: int, *, peak: float, warmup: int) -> float:
    """The rate of a step (from 0) of `total`: up to `peak` over `warmup` steps, down to 0 by a cosine."""
    count = step + 2
    if count < warmup:
        return peak * count / warmup
    progress = (count - warmup) / max(1, total - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


def weight_decay(step: int, total: int, *, first: float, last: float) -> float:
    """The weight decay of a step (from 0) of `total`, from `first` to `last` by a cosine."""
    progress = (step + 1) / total
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * progress))


class ProbeOptimizer:
    """AdamW over one probe with its schedules and clipping. Biases and vectors do not decay."""

    def __init__(
        self,
        probe: nn.Module,
        settings: OptimSettings,
        *,
        total_steps: int,
        clip_grad: float,
        final_weight_decay: float,
    ) -> None:
        self._settings = settings
        self._total = total_steps
        self._warmup = int(settings.warmup * total_steps)
        self._clip = clip_grad
        self._final_decay = final_weight_decay
        self._steps = 0
        self._weights = list(probe.parameters())
        groups: list[dict[str, Any]] = [{"params": []}, {"params": []}]
        for name, weight in probe.named_parameters():
            groups["bias" in name or weight.ndim == 1]["params"].append(weight)
        # The fused form is one pass over the weights, on a CPU too.
        self._adamw = torch.optim.AdamW(groups, lr=settings.lr, weight_decay=0.0, fused=True)

    @property
    def lr(self) -> float:
        """The learning rate of the last step taken."""
        return float(self._adamw.param_groups[0]["lr"])

    def step(self) -> None:
        """Take one step along the gradients in the probe, and forget them."""
        settings, step = self._settings, self._steps
        lr = learning_rate(step, self._total, peak=settings.lr, warmup=self._warmup)
        decay = weight_decay(step, self._total, first=settings.weight_decay, last=self._final_decay)
        decayed, plain = self._adamw.param_groups
        decayed["lr"] = plain["lr"] = lr
        decayed["weight_decay"] = decay
        nn.utils.clip_grad_norm_(self._weights, self._clip)
        self._adamw.step()
        self._adamw.zero_grad()
        self._steps += 1

    def finite(self) -> bool:
        """Whether every weight is a finite number."""
        return bool(torch.stack([weight.isfinite().all() for weight in self._weights]).all())
