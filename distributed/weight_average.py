"""The running average of a probe's weights over its steps, which is scored and kept in their place.

Source: Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992, with exponential weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class WeightAverage:
    """average ← decay · average + (1 - decay) · weights after every step.

    The decay is at most (1 + steps) / (10 + steps), so that the first weights, which are random, are forgotten.
    """

    def __init__(self, probe: nn.Module, decay: float) -> None:
        self._weights = list(probe.parameters())
        self._averages = [weight.detach().clone() for weight in self._weights]
        self._decay = decay
        self._steps = 0

    def update(self) -> None:
        """Take in the weights after a step."""
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        torch._foreach_lerp_(self._averages, [weight.detach() for weight in self._weights], 1 - decay)
        self._steps += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The probe has its averages for weights in the block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for i, weight in enumerate(self._weights):
            self._averages[i], weight.data = weight.data, self._averages[i]
