"""The multiscale probe: the same queries attend within the whole video, within each segment, and within each moment.

A fleeting expression fills a moment and is lost in the mean of a video: of every scale the head sees the mean and the
largest value over its parts, the pooling pyramid of Lazebnik et al. ("Beyond Bags of Features", 2006) in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from search_spaces.declaration import Family
from search_spaces.probe import Dropout, Probe, RandomStream, TokenGrid, linear
from search_spaces.ranges import check_choices, check_range, own_params, share, whole

if TYPE_CHECKING:  # probes are trained on machines without optuna
    from optuna.trial import BaseTrial


@dataclass(frozen=True)
class MultiscaleSpace:
    """What is searched about the multiscale probe: its queries, the width of its hidden layer, and dropout."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    queries: tuple[int, ...] = (1, 2, 4)
    width: tuple[int, ...] = (128, 256)
    dropout: tuple[float, float] = (0.0, 0.5)

    def __post_init__(self) -> None:
        check_choices("multiscale.queries", self.queries, above=0)
        check_choices("multiscale.width", self.width, above=0)
        check_range("multiscale.dropout", self.dropout, low=0.0, high=0.95)

    def suggest(self, trial: BaseTrial, *, dim: int) -> dict[str, Any]:
        """Parameters of one probe, by the names the trial knows them by; `dim` does not matter here."""
        return {
            "multiscale.queries": trial.suggest_categorical("multiscale.queries", self.queries),
            "multiscale.width": trial.suggest_categorical("multiscale.width", self.width),
            "multiscale.dropout": trial.suggest_float("multiscale.dropout", *self.dropout),
        }


class MultiscaleProbe(Probe):
    """Rows that attend at several scales, mean and maximum over the parts of each, a hidden layer."""

    def __init__(
        self,
        dim: int,
        num_classes: int,
        *,
        scales: tuple[int, ...],
        queries: int,
        width: int,
        dropout: float,
        seed: int,
    ) -> None:
        super().__init__()
        stream = RandomStream(seed)
        self.scales = scales
        self.query_tokens = nn.Parameter(torch.empty(queries, dim))
        nn.init.trunc_normal_(self.query_tokens, std=0.02, generator=stream.on(torch.device("cpu")))
        # The whole has one part, whose mean and maximum are the same.
        self.views = sum(1 if parts == 1 else 2 for parts in scales)
        self.norm = nn.LayerNorm(dim)
        self.drop = Dropout(dropout, stream)
        self.hidden = linear(self.views * queries * dim, width, stream)
        self.linear = linear(width, num_classes, stream, std=0.02)

    def queries(self) -> Tensor:
        return self.query_tokens

    def classify(self, readout: Tensor) -> Tensor:
        batch, dim = len(readout), readout.shape[-1]
        rows = len(self.query_tokens)
        seen = []
        for part, parts in zip(torch.split(readout, [n * rows for n in self.scales], dim=1), self.scales, strict=True):
            own = part.reshape(batch, parts, rows, dim)
            seen.append(own.mean(dim=1))
            if parts > 1:
                seen.append(own.amax(dim=1))
        x = self.norm(torch.stack(seen, dim=1)).flatten(1)
        logits: Tensor = self.linear(self.drop(nn.functional.gelu(self.hidden(self.drop(x)))))
        return logits


def build(
    params: Mapping[str, Any], *, dim: int, num_classes: int, seed: int, grid: TokenGrid | None = None
) -> MultiscaleProbe:
    """The probe that `params` describe, weights drawn from `seed` alone. Raises ValueError on bad ones or no grid."""
    own = own_params(params, "multiscale", ["queries", "width", "dropout"])
    if grid is None:
        raise ValueError("the multiscale probe must know how tokens lie: hand `grid` to build_probe")
    probe = MultiscaleProbe(
        dim,
        num_classes,
        scales=tuple(sorted({1, grid.segments, grid.segments * grid.time})),
        queries=whole("multiscale.queries", own["queries"]),
        width=whole("multiscale.width", own["width"]),
        dropout=share("multiscale.dropout", own["dropout"]),
        seed=seed,
    )
    probe.num_tokens = grid.num_tokens
    return probe


FAMILY = Family("multiscale", MultiscaleSpace, build)
