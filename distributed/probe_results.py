"""One configuration to train, and what became of it."""

from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

CurveRow = dict[str, Any]


@dataclass(frozen=True)
class ProbeSpec:
    """One configuration: a trial's number, its family, parameters (family's and optimisation's) and seed."""

    trial: int
    family: str
    params: dict[str, Any]
    seed: int


@dataclass
class ProbeResult:
    """What became of a probe.

    `epoch` is the last one it trained in, `score` the recall (UAR) on the inner validation videos after it,
    None without such videos and for a failed probe. Only a complete probe has weights, on the CPU.
    `seconds` is its share of the time that its pack took.
    """

    spec: ProbeSpec
    num_parameters: int
    state: Literal["complete", "pruned", "failed"] = "complete"
    epoch: int = 0
    score: float | None = None
    reason: str | None = None
    curves: list[CurveRow] = field(default_factory=list)
    state_dict: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0


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
        "reason": result.reason,
        "num_parameters": result.num_parameters,
        "seconds": result.seconds,
        "curves": result.curves,
    }
