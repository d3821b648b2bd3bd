"""What one probe's training step minimises: cross-entropy with smoothed targets, class weights and mixup.

Mixup (Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018) mixes what the probe's rows have read, after the
attention, and the targets with it: the tokens stay shared by all probes of a pack.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from search_spaces.optimisation import OptimSettings


class ProbeLoss:
    """The loss of one probe; what it draws follows from `seed` alone, the same on every device.

    `class_weights`: float[C], what a video of each class weighs where the settings ask for balanced classes.
    """

    def __init__(self, settings: OptimSettings, *, class_weights: Tensor, seed: int) -> None:
        self._smoothing = settings.label_smoothing
        self._alpha = settings.mixup
        self._weights = class_weights if settings.class_weights == "balanced" else None
        self._random = np.random.default_rng([seed, 1])
        self._others: Tensor | None = None
        self._share = 1.0

    def mixed(self, readout: Tensor) -> Tensor:
        """A batch of readouts float[B, R, D], each mixed with another one's if mixup is on; `loss` knows how."""
        if not self._alpha:
            return readout
        self._share = float(self._random.beta(self._alpha, self._alpha))
        self._others = torch.from_numpy(self._random.permutation(len(readout))).to(readout.device)
        return torch.lerp(readout[self._others], readout, self._share)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The batch's loss: the mean over videos of what each costs times its class's weight."""
        if self._weights is None and self._others is None:
            return F.cross_entropy(logits, labels, label_smoothing=self._smoothing)
        loss = self._each(logits, labels)
        if self._others is not None:
            loss = self._share * loss + (1 - self._share) * self._each(logits, labels[self._others])
        return loss.mean()

    def _each(self, logits: Tensor, labels: Tensor) -> Tensor:
        costs = F.cross_entropy(logits, labels, label_smoothing=self._smoothing, reduction="none")
        return costs if self._weights is None else costs * self._weights[labels]
