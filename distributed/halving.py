"""Successive halving inside a pack: at fixed epochs the weaker probes stop.

Source: Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization",
AISTATS 2016.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Standing:
    """How a probe does on the inner validation videos at some epoch."""

    trial: int
    uar: float
    loss: float


def rung_epochs(rungs: Sequence[float], epochs: int) -> frozenset[int]:
    """The epochs, counted from 1, after which a pack is thinned; `rungs` are shares of `epochs`.

    A rung that falls on the last epoch is none: every probe that gets there is complete.
    """
    return frozenset(epoch for rung in rungs if (epoch := math.ceil(rung * epochs)) < epochs)


def pruned(standings: Sequence[Standing], keep: float) -> frozenset[int]:
    """The trials to stop when a share `keep` of those standing, rounded up, goes on.

    The better is who has the higher recall, then the lower loss, then the lower trial number.
    """
    ranked = sorted(standings, key=lambda probe: (-probe.uar, probe.loss, probe.trial))
    return frozenset(probe.trial for probe in ranked[math.ceil(keep * len(ranked)) :])
