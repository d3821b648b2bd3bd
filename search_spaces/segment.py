"""The segment probe: queries that attend within each segment of a video, and a small transformer over the segments.

A video's segments are encoded apart, so its tokens hold no motion from one to the next; what the queries read in each
becomes a sequence in time, over which transformer encoder blocks (Vaswani et al., "Attention Is All You Need", 2017)
with learned positions look.
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
from search_spaces.transformer import Block

if TYPE_CHECKING:  # probes are trained on machines without optuna
    from optuna.trial import BaseTrial

NAMES = ("queries", "width", "heads", "layers", "dropout")


@dataclass(frozen=True)
class SegmentSpace:
    """What is searched about the segment probe.

    `queries`: rows that attend within each segment; `width`: of the transformer over the segments; `heads`: its
    attention heads, which must divide every width; `layers`: its blocks; `dropout`: [low, high].
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    queries: tuple[int, ...] = (1, 4)
    width: tuple[int, ...] = (128, 256)
    heads: tuple[int, ...] = (4,)
    layers: tuple[int, ...] = (1, 2)
    dropout: tuple[float, float] = (0.0, 0.3)

    def __post_init__(self) -> None:
        for name in ("queries", "width", "heads", "layers"):
            check_choices(f"segment.{name}", getattr(self, name), above=0)
        check_range("segment.dropout", self.dropout, low=0.0, high=0.95)
        for heads in self.heads:
            if any(width % heads for width in self.width):
                raise ValueError(f"segment.heads = {list(self.heads)}: {heads} does not divide every segment.width")

    def suggest(self, trial: BaseTrial, *, dim: int) -> dict[str, Any]:
        """Parameters of one probe, by the names the trial knows them by; `dim` does not matter here."""
        choices = {
            f"segment.{name}": trial.suggest_categorical(f"segment.{name}", getattr(self, name))
            for name in ("queries", "width", "heads", "layers")
        }
        return {**choices, "segment.dropout": trial.suggest_float("segment.dropout", *self.dropout)}


class SegmentProbe(Probe):
    """Rows that attend within each segment, a projection, transformer blocks over segments, their mean, a layer.

    Raises ValueError when `heads` does not divide `width`.
    """

    def __init__(
        self,
        dim: int,
        num_classes: int,
        *,
        segments: int,
        queries: int,
        width: int,
        heads: int,
        layers: int,
        dropout: float,
        seed: int,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"segment.heads = {heads} does not divide segment.width = {width}")
        stream = RandomStream(seed)
        self.scales = (segments,)
        generator = stream.on(torch.device("cpu"))
        self.query_tokens = nn.Parameter(torch.empty(queries, dim))
        self.positions = nn.Parameter(torch.empty(1, segments, width))
        nn.init.trunc_normal_(self.query_tokens, std=0.02, generator=generator)
        nn.init.trunc_normal_(self.positions, std=0.02, generator=generator)
        self.norm = nn.LayerNorm(queries * dim)
        self.drop = Dropout(dropout, stream)
        self.proj = linear(queries * dim, width, stream)
        self.blocks = nn.ModuleList(
            Block(width, heads, 2 * width, dropout, stream, layer) for layer in range(1, layers + 1)
        )
        self.last_norm = nn.LayerNorm(width)
        self.linear = linear(width, num_classes, stream, std=0.02)

    def queries(self) -> Tensor:
        return self.query_tokens

    def classify(self, readout: Tensor) -> Tensor:
        segments = readout.reshape(len(readout), self.scales[0], -1)
        x = self.proj(self.drop(self.norm(segments))) + self.positions
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.linear(self.last_norm(x).mean(dim=1))
        return logits


def build(
    params: Mapping[str, Any], *, dim: int, num_classes: int, seed: int, grid: TokenGrid | None = None
) -> SegmentProbe:
    """The probe that `params` describe, weights drawn from `seed` alone. Raises ValueError on bad ones or no grid."""
    own = own_params(params, "segment", NAMES)
    if grid is None:
        raise ValueError("the segment probe must know how tokens lie: hand `grid` to build_probe")
    sizes = {name: whole(f"segment.{name}", own[name]) for name in NAMES[:-1]}
    dropout = share("segment.dropout", own["dropout"])
    probe = SegmentProbe(dim, num_classes, segments=grid.segments, **sizes, dropout=dropout, seed=seed)
    probe.num_tokens = grid.num_tokens
    return probe


FAMILY = Family("segment", SegmentSpace, build)
