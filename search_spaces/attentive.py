"""The attentive probe of V-JEPA, computed without keys and values.

A learned query attends over the tokens with many heads (Bardes et al., "Revisiting Feature Prediction for
Learning Visual Representations from Video", 2024, on frozen evaluation). Since the query is the same for
every video, the key projection can move to the query's side and the value projection behind the softmax: per
head h the logits are x̂·u_h up to a constant, with u_h = γ ⊙ (W_K,hᵀ q_h)/√d. Parameters keep the names and
shapes of the published classifier, so its weights load.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from search_spaces.declaration import Family
from search_spaces.probe import Probe, RandomStream, TokenGrid, linear
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

NAMES = ("queries", "heads", "mlp_ratio", "depth", "dropout")


@dataclass(frozen=True)
class AttentiveSpace:
    """What is searched about the attentive probe.

    `queries`: learned queries; `heads`: attention heads, of which those that do not divide the encoder's
    width are never suggested; `mlp_ratio`: hidden width over width; `depth`: 1, plus self-attention blocks on
    the queries; `dropout`: [low, high] of the share dropped after the projections and in the MLPs.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    queries: tuple[int, ...] = (1, 2, 4)
    heads: tuple[int, ...] = (4, 8, 16)
    mlp_ratio: tuple[float, ...] = (1.0, 2.0, 4.0)
    depth: tuple[int, ...] = (1, 2)
    dropout: tuple[float, float] = (0.0, 0.3)

    def __post_init__(self) -> None:
        for name in ("queries", "heads", "mlp_ratio", "depth"):
            check_choices(f"attentive.{name}", getattr(self, name), above=0)
        check_range("attentive.dropout", self.dropout, low=0.0, high=0.95)

    def suggest(self, trial: BaseTrial, *, dim: int) -> dict[str, Any]:
        """Parameters of one probe over tokens of width `dim`, by the names the trial knows them by.

        Raises ValueError when none of the choices of heads divides `dim`.
        """
        heads = dividing("attentive.heads", self.heads, dim)
        return {
            "attentive.queries": trial.suggest_categorical("attentive.queries", self.queries),
            "attentive.heads": trial.suggest_categorical("attentive.heads", heads),
            "attentive.mlp_ratio": trial.suggest_categorical("attentive.mlp_ratio", self.mlp_ratio),
            "attentive.depth": trial.suggest_categorical("attentive.depth", self.depth),
            "attentive.dropout": trial.suggest_float("attentive.dropout", *self.dropout),
        }


class _Pooler(nn.Module):
    def __init__(
        self,
        dim: int,
        *,
        queries: int,
        heads: int,
        hidden: int,
        depth: int,
        dropout: float,
        stream: RandomStream,
    ) -> None:
        super().__init__()
        self.query_tokens = learned_queries(queries, dim, stream)
        self.cross_attention_block = CrossAttentionBlock(dim, heads, hidden, dropout, stream)
        # The cross-attention counts as layer 1 of the depth-dependent scale of the initial weights.
        self.blocks = nn.ModuleList(Block(dim, heads, hidden, dropout, stream, layer) for layer in range(2, depth + 1))

    def forward(self, readout: Tensor) -> Tensor:
        x: Tensor = self.cross_attention_block(self.query_tokens[0], readout)
        for block in self.blocks:
            x = block(x)
        return x


class AttentiveProbe(Probe):
    """Learned queries, cross-attention, an MLP, further blocks, and a linear layer on the queries' mean.

    With one query, depth 1 and no dropout it is the published attentive classifier: its names, its numbers.
    Raises ValueError when `heads` does not divide `dim`.
    """

    def __init__(
        self,
        dim: int,
        num_classes: int,
        *,
        heads: int,
        queries: int = 1,
        mlp_ratio: float = 4.0,
        depth: int = 1,
        dropout: float = 0.0,
        seed: int,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"attentive.heads = {heads} does not divide the encoder's width {dim}")
        hidden = round(dim * mlp_ratio)
        if hidden < 1:
            raise ValueError(f"attentive.mlp_ratio = {mlp_ratio} leaves no hidden unit of the width {dim}")
        stream = RandomStream(seed)
        self.pooler = _Pooler(
            dim, queries=queries, heads=heads, hidden=hidden, depth=depth, dropout=dropout, stream=stream
        )
        self.linear = linear(dim, num_classes, stream)

    def queries(self) -> Tensor:
        rows: Tensor = self.pooler.cross_attention_block.rows(self.pooler.query_tokens[0])
        return rows

    def classify(self, readout: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.pooler(readout).mean(dim=1))
        return logits


def build(
    params: Mapping[str, Any], *, dim: int, num_classes: int, seed: int, grid: TokenGrid | None = None
) -> AttentiveProbe:
    """The probe that `params` describe, weights drawn from `seed` alone. Raises ValueError on bad ones."""
    own = own_params(params, "attentive", NAMES)
    return AttentiveProbe(
        dim,
        num_classes,
        queries=whole("attentive.queries", own["queries"]),
        heads=whole("attentive.heads", own["heads"]),
        mlp_ratio=float(own["mlp_ratio"]),
        depth=whole("attentive.depth", own["depth"]),
        dropout=share("attentive.dropout", own["dropout"]),
        seed=seed,
    )


def published_params(*, heads: int) -> dict[str, Any]:
    """The parameters of the published classifier, which has as many heads as its encoder."""
    values = {"queries": 1, "heads": heads, "mlp_ratio": 4.0, "depth": 1, "dropout": 0.0}
    return {f"attentive.{name}": value for name, value in values.items()}


def load_published(state: Mapping[str, Tensor], *, heads: int, projected: bool = True) -> AttentiveProbe:
    """The probe of a published classifier's state dict (with or without the prefix `module.`).

    `heads` cannot be read from the weights. `projected`: the code that the weights were trained with applies the
    projection `xattn.proj` after the cross-attention, as that of Eing et al. does; V-JEPA's own code has the weights
    but never applies them, so that they are what they were drawn as and are taken for the identity here.
    Raises RuntimeError when a name or a shape does not fit.
    """
    known = PublishedClassifier.of(state)
    probe = AttentiveProbe(
        known.dim,
        known.num_classes,
        heads=heads,
        queries=known.queries,
        mlp_ratio=known.mlp_ratio,
        depth=known.depth,
        seed=0,
    )
    probe.load_state_dict(known.state)
    if not projected:
        name, eye = "pooler.cross_attention_block.xattn.proj", torch.eye(known.dim)
        probe.load_state_dict(known.state | {f"{name}.weight": eye, f"{name}.bias": torch.zeros(known.dim)})
    return probe


def published_state(probe: AttentiveProbe) -> dict[str, Tensor]:
    """The weights under the names that a published classifier's checkpoint has; what `load_published` reads.

    Raises ValueError when the probe is no published classifier: that has one query.
    """
    if probe.pooler.query_tokens.shape[1] != 1:
        raise ValueError(f"the published classifier has one query, this probe {probe.pooler.query_tokens.shape[1]}")
    return published_names(probe)


FAMILY = Family("attentive", AttentiveSpace, build)
