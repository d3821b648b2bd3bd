"""How one probe's weights move: learning rate and weight decay by step, clipping, AdamW or SGD with momentum.

The timing is that of the published recipe: both schedules are advanced before the step they serve, and the
one of the learning rate once more when it is made, so that step i (from 0) of T learns at (i + 2) / T of
the cosine, which the last step overshoots by one, and decays at (i + 1) / T.
"""

import math

import torch
from torch import Tensor, nn

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


class _Moments:
    """AdamW's memory of some weights that share a rate and a decay."""

    def __init__(self, weights: list[nn.Parameter]) -> None:
        self.weights = weights
        self._first = [torch.zeros_like(weight) for weight in weights]
        self._second = [torch.zeros_like(weight) for weight in weights]
        self._count = torch.zeros((), device=weights[0].device) if weights else torch.zeros(())

    def step(self, *, lr: float, decay: float, divisor: Tensor) -> None:
        """One step along the gradients divided by `divisor`; weights without a gradient stay."""
        gradients = [(i, weight.grad) for i, weight in enumerate(self.weights) if weight.grad is not None]
        if not gradients:
            return
        there = [i for i, _ in gradients]
        self._count += 1
        torch._fused_adamw_(
            [self.weights[i] for i in there],
            [gradient for _, gradient in gradients],
            [self._first[i] for i in there],
            [self._second[i] for i in there],
            [],
            [self._count] * len(there),
            lr=lr,
            beta1=0.9,
            beta2=0.999,
            weight_decay=decay,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
            grad_scale=divisor,
            found_inf=None,
        )


class _Velocity:
    """The momentum of SGD of some weights that share a rate and a decay, as `torch.optim.SGD` has it."""

    def __init__(self, weights: list[nn.Parameter], momentum: float) -> None:
        self.weights = weights
        self._momentum = momentum
        self._buffers = [torch.zeros_like(weight) for weight in weights]

    def step(self, *, lr: float, decay: float, divisor: Tensor) -> None:
        """One step along the gradients divided by `divisor`; weights without a gradient stay."""
        there = [i for i, weight in enumerate(self.weights) if weight.grad is not None]
        if not there:
            return
        torch._fused_sgd_(
            [self.weights[i] for i in there],
            [gradient for weight in self.weights if (gradient := weight.grad) is not None],
            [self._buffers[i] for i in there] if self._momentum else [],
            weight_decay=decay,
            momentum=self._momentum,
            lr=lr,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
            grad_scale=divisor,
            found_inf=None,
        )


class ProbeOptimizer:
    """AdamW or SGD over one probe with its schedules and clipping. Biases and vectors do not decay.

    It calls torch's fused steps itself: one pass over the weights, clipping included, on a CPU too. The classes
    of `torch.optim` take several times as long for weights as few as a probe's, and import torch's compiler.
    """

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
        self._clip = clip_grad if settings.clip_grad is None else settings.clip_grad
        self._final_decay = final_weight_decay
        self._steps = 0
        self._weights = list(probe.parameters())
        decayed: list[nn.Parameter] = []
        plain: list[nn.Parameter] = []
        for name, weight in probe.named_parameters():
            (plain if "bias" in name or weight.ndim == 1 else decayed).append(weight)
        self._decayed, self._plain = (
            _Velocity(part, settings.momentum) if settings.optimizer == "sgd" else _Moments(part)
            for part in (decayed, plain)
        )
        self.lr = settings.peak_lr  # of the last step taken

    @torch.no_grad()
    def step(self) -> None:
        """Take one step along the gradients in the probe, and forget them."""
        settings, step = self._settings, self._steps
        self.lr = learning_rate(step, self._total, peak=settings.peak_lr, warmup=self._warmup)
        decay = weight_decay(step, self._total, first=settings.weight_decay, last=self._final_decay)
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        # Dividing by this is clipping as torch.nn.utils.clip_grad_norm_ does it.
        divisor = ((nn.utils.get_total_norm(gradients) + 1e-6) / self._clip).clamp_(min=1.0)
        self._decayed.step(lr=self.lr, decay=decay, divisor=divisor)
        self._plain.step(lr=self.lr, decay=0.0, divisor=divisor)
        for weight in self._weights:
            weight.grad = None
        self._steps += 1

    def finite(self) -> bool:
        """Whether every weight is a finite number."""
        return bool(torch.stack([weight.isfinite().all() for weight in self._weights]).all())
