"""One configuration to train, and what became of it."""

from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

CurveRow = dict[str, Any]


@dataclass(frozen=True)
class ProbeSpec:
    """One configuration: a trial's number, its family, parameters (family's and optimisation's) and seed.

    `epochs`: the epoch after which it ends, before the schedules do; None for the last one of the training.
    """

    trial: int
    family: str
    params: dict[str, Any]
    seed: int
    epochs: int | None = None


@dataclass
class ProbeResult:
    """What became of a probe.

    `epoch` is the last one it trained in, `score` the recall (UAR) on the inner validation videos after
    `best_epoch`, which is the same one unless the training has patience; None without such videos and for a failed
    probe. Only a complete probe has weights, on the CPU: those of `best_epoch`.
    `seconds` is its share of the time that its pack took. `warning`: what went otherwise than asked for.
    """

    spec: ProbeSpec
    num_parameters: int
    state: Literal["complete", "pruned", "failed"] = "complete"
    epoch: int = 0
    best_epoch: int | None = None
    score: float | None = None
    reason: str | None = None
    curves: list[CurveRow] = field(default_factory=list)
    state_dict: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0
    warning: str | None = None


def probe_record(result: ProbeResult, fold: int, pack: int) -> dict[str, Any]:
    """The result as plain JSON-able data, weights left out."""
    spec = result.spec
    return {
        "trial": spec.trial,
        "fold": fold,
        "pack": pack,
        "family": spec.family,
        "params": {"family": spec.family, **spec.params},
        "state": result.state,
        "score": result.score,
        "epoch": result.epoch,
        "best_epoch": result.best_epoch,
        "reason": result.reason,
        "warning": result.warning,
        "num_parameters": result.num_parameters,
        "seconds": result.seconds,
        "curves": result.curves,
    }
