"""The deep probe of V-JEPA 2: self-attention blocks over all tokens, then one learned query that attends over them.

Source: Assran et al., "V-JEPA 2: Self-Supervised Video Models Enable Understanding, Prediction and Planning" (2025),
the attentive probe with `num_probe_blocks`. Parameters keep the names and shapes of its classifier, so its weights
load. The blocks cost what an encoder's blocks of this width cost: with thousands of tokens a video it trains hundreds
of times as slowly as the attentive probe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from search_spaces.declaration import Family
from search_spaces.probe import MixingProbe, RandomStream, TokenGrid, linear
from search_spaces.ranges import check_choices, check_range, dividing, own_params, share, whole
from search_spaces.transformer import (
    Block,
    CrossAttentionBlock,
    PublishedClassifier,
    learned_queries,
    published_names,
)

if TYPE_CHECKING:  # probes are trained on machines without optuna
    from optuna.trial import BaseTrial

NAMES = ("depth", "heads", "mlp_ratio", "dropout")


@dataclass(frozen=True)
class DeepSpace:
    """What is searched about the deep probe.

    `depth`: the cross-attention and the self-attention blocks before it, V-JEPA 2's `num_probe_blocks`; `heads`:
    attention heads, of which those that do not divide the encoder's width are never suggested; `mlp_ratio`: hidden
    width over width; `dropout`: [low, high] of the share dropped after the projections and in the MLPs.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    depth: tuple[int, ...] = (2, 4)
    heads: tuple[int, ...] = (4, 8, 16)
    mlp_ratio: tuple[float, ...] = (4.0,)
    dropout: tuple[float, float] = (0.0, 0.3)

    def __post_init__(self) -> None:
        for name in ("depth", "heads", "mlp_ratio"):
            check_choices(f"deep.{name}", getattr(self, name), above=0)
        check_range("deep.dropout", self.dropout, low=0.0, high=0.95)

    def suggest(self, trial: BaseTrial, *, dim: int) -> dict[str, Any]:
        """Parameters of one probe over tokens of width `dim`, by the names the trial knows them by.

        Raises ValueError when none of the choices of heads divides `dim`.
        """
        heads = dividing("deep.heads", self.heads, dim)
        return {
            "deep.depth": trial.suggest_categorical("deep.depth", self.depth),
            "deep.heads": trial.suggest_categorical("deep.heads", heads),
            "deep.mlp_ratio": trial.suggest_categorical("deep.mlp_ratio", self.mlp_ratio),
            "deep.dropout": trial.suggest_float("deep.dropout", *self.dropout),
        }


class _Pooler(nn.Module):
    def __init__(self, dim: int, *, heads: int, hidden: int, depth: int, dropout: float, stream: RandomStream) -> None:
        super().__init__()
        self.query_tokens = learned_queries(1, dim, stream)
        self.cross_attention_block = CrossAttentionBlock(
            dim, heads, hidden, dropout, stream, projection=False, layer=max(1, depth - 1)
        )
        self.blocks = nn.ModuleList(Block(dim, heads, hidden, dropout, stream, layer) for layer in range(1, depth))


class DeepProbe(MixingProbe):
    """Self-attention blocks over the tokens, one query, cross-attention without a projection, an MLP, a linear layer.

    Without dropout it is V-JEPA 2's attentive classifier: its names, its numbers.
    Raises ValueError when `heads` does not divide `dim`.
    """

    def __init__(
        self,
        dim: int,
        num_classes: int,
        *,
        heads: int,
        depth: int = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        seed: int,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"deep.heads = {heads} does not divide the encoder's width {dim}")
        hidden = int(dim * mlp_ratio)
        if hidden < 1:
            raise ValueError(f"deep.mlp_ratio = {mlp_ratio} leaves no hidden unit of the width {dim}")
        stream = RandomStream(seed)
        self.pooler = _Pooler(dim, heads=heads, hidden=hidden, depth=depth, dropout=dropout, stream=stream)
        self.linear = linear(dim, num_classes, stream)

    def mix(self, tokens: Tensor) -> Tensor:
        for block in self.pooler.blocks:
            tokens = block(tokens)
        return tokens

    def queries(self) -> Tensor:
        rows: Tensor = self.pooler.cross_attention_block.rows(self.pooler.query_tokens[0])
        return rows

    def classify(self, readout: Tensor) -> Tensor:
        pooled = self.pooler.cross_attention_block(self.pooler.query_tokens[0], readout)
        logits: Tensor = self.linear(pooled[:, 0])
        return logits


def build(
    params: Mapping[str, Any], *, dim: int, num_classes: int, seed: int, grid: TokenGrid | None = None
) -> DeepProbe:
    """The probe that `params` describe, weights drawn from `seed` alone. Raises ValueError on bad ones."""
    own = own_params(params, "deep", NAMES)
    return DeepProbe(
        dim,
        num_classes,
        depth=whole("deep.depth", own["depth"]),
        heads=whole("deep.heads", own["heads"]),
        mlp_ratio=float(own["mlp_ratio"]),
        dropout=share("deep.dropout", own["dropout"]),
        seed=seed,
    )


def load_published(state: Mapping[str, Tensor], *, heads: int) -> DeepProbe:
    """The probe of a V-JEPA 2 classifier's state dict (with or without the prefix `module.`).

    `heads` cannot be read from the weights. Raises RuntimeError when a name or a shape does not fit.
    """
    known = PublishedClassifier.of(state)
    probe = DeepProbe(known.dim, known.num_classes, heads=heads, depth=known.depth, mlp_ratio=known.mlp_ratio, seed=0)
    probe.load_state_dict(known.state)
    return probe


def published_state(probe: DeepProbe) -> dict[str, Tensor]:
    """The weights under the names that a V-JEPA 2 checkpoint has; what `load_published` reads."""
    return published_names(probe)


FAMILY = Family("deep", DeepSpace, build, mixes=True)
