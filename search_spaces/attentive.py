"""The attentive probe of V-JEPA, computed without keys and values.

A learned query attends over the tokens with many heads (Bardes et al., "Revisiting Feature Prediction for
Learning Visual Representations from Video", 2024, on frozen evaluation). Since the query is the same for
every video, the key projection can move to the query's side and the value projection behind the softmax: per
head h the logits are x̂·u_h up to a constant, with u_h = γ ⊙ (W_K,hᵀ q_h)/√d. Parameters keep the names and
shapes of the published classifier, so its weights load.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.declaration import Family
from search_spaces.probe import Dropout, Probe, RandomStream, TokenGrid, linear
from search_spaces.ranges import check_choices, check_range, own_params, share, whole

if TYPE_CHECKING:  # probes are trained on machines without optuna
    from optuna.trial import BaseTrial

INIT_STD = 0.02
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
        heads = tuple(count for count in self.heads if dim % count == 0)
        if not heads:
            raise ValueError(f"attentive.heads = {list(self.heads)}: none divides the encoder's width {dim}; add one")
        return {
            "attentive.queries": trial.suggest_categorical("attentive.queries", self.queries),
            "attentive.heads": trial.suggest_categorical("attentive.heads", heads),
            "attentive.mlp_ratio": trial.suggest_categorical("attentive.mlp_ratio", self.mlp_ratio),
            "attentive.depth": trial.suggest_categorical("attentive.depth", self.depth),
            "attentive.dropout": trial.suggest_float("attentive.dropout", *self.dropout),
        }


class _Mlp(nn.Module):
    def __init__(self, dim: int, hidden: int, dropout: float, stream: RandomStream) -> None:
        super().__init__()
        self.fc1 = linear(dim, hidden, stream, std=INIT_STD)
        self.fc2 = linear(hidden, dim, stream, std=INIT_STD)
        self.drop = Dropout(dropout, stream)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.drop(self.fc2(self.drop(F.gelu(self.fc1(x)))))
        return output


class _CrossAttention(nn.Module):
    """The projections of the cross-attention; `kv` never meets a token, its two halves are used apart."""

    def __init__(self, dim: int, heads: int, dropout: float, stream: RandomStream) -> None:
        super().__init__()
        self.heads = heads
        self.q = linear(dim, dim, stream, std=INIT_STD)
        self.kv = linear(dim, 2 * dim, stream, std=INIT_STD)
        self.proj = linear(dim, dim, stream, std=INIT_STD)
        self.drop = Dropout(dropout, stream)
        self._values: Tensor | None = None

    def _halves(self) -> tuple[Tensor, Tensor]:
        """The projections to keys and to values, float[H, D/H, D] each."""
        keys, values = self.kv.weight.view(2, self.heads, -1, self.kv.in_features).unbind()
        return keys, values

    def rows(self, query_tokens: Tensor) -> Tensor:
        """Query tokens float[Q, D] -> float[Q, H, D], the queries moved before the key projection."""
        keys, values = self._halves()
        # Cut once a step: each cut's gradient is a whole `kv.weight` of mostly zeros.
        self._values = values if values.requires_grad else None
        width = keys.shape[1]
        queries = self.q(query_tokens).view(-1, self.heads, width).transpose(0, 1) / math.sqrt(width)
        return torch.bmm(queries, keys).transpose(0, 1)

    def values(self, pooled: Tensor) -> Tensor:
        """Weighted means of tokens float[B, Q, H, D] -> the attention's output float[B, Q, D]."""
        batch, queries, heads, dim = pooled.shape
        weight, self._values = self._halves()[1] if self._values is None else self._values, None
        by_head = pooled.reshape(-1, heads, dim).transpose(0, 1)
        values = torch.bmm(by_head, weight.transpose(1, 2)).transpose(0, 1).reshape(batch, queries, dim)
        output: Tensor = self.drop(self.proj(values + self.kv.bias[dim:]))
        return output


class _CrossAttentionBlock(nn.Module):
    def __init__(self, dim: int, heads: int, hidden: int, dropout: float, stream: RandomStream) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.xattn = _CrossAttention(dim, heads, dropout, stream)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = _Mlp(dim, hidden, dropout, stream)
        _divide(math.sqrt(2), self.xattn.proj, self.mlp.fc2)

    def rows(self, query_tokens: Tensor) -> Tensor:
        """Query tokens float[Q, D] -> the rows that attend over standardised tokens, float[Q·H, D]."""
        return (self.xattn.rows(query_tokens) * self.norm1.weight).flatten(0, 1)

    def forward(self, query_tokens: Tensor, readout: Tensor) -> Tensor:
        """Query tokens float[Q, D], readout float[B, Q·H, D] -> float[B, Q, D]."""
        pooled = torch.addcmul(self.norm1.bias, readout, self.norm1.weight)
        pooled = pooled.view(len(readout), len(query_tokens), self.xattn.heads, -1)
        x = query_tokens + self.xattn.values(pooled)
        output: Tensor = x + self.mlp(self.norm2(x))
        return output


class _SelfAttention(nn.Module):
    def __init__(self, dim: int, heads: int, dropout: float, stream: RandomStream) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = linear(dim, 3 * dim, stream, std=INIT_STD)
        self.proj = linear(dim, dim, stream, std=INIT_STD)
        self.drop = Dropout(dropout, stream)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).view(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        output: Tensor = self.drop(self.proj(mixed))
        return output


class Block(nn.Module):
    """A transformer block: self-attention and an MLP, each on normed input and added to it."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float, stream: RandomStream, layer: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = _SelfAttention(dim, heads, dropout, stream)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = _Mlp(dim, hidden, dropout, stream)
        _divide(math.sqrt(2 * layer), self.attn.proj, self.mlp.fc2)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        output: Tensor = x + self.mlp(self.norm2(x))
        return output


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
        self.query_tokens = nn.Parameter(torch.empty(1, queries, dim))
        nn.init.trunc_normal_(self.query_tokens, std=INIT_STD, generator=stream.on(torch.device("cpu")))
        self.cross_attention_block = _CrossAttentionBlock(dim, heads, hidden, dropout, stream)
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


def _divide(divisor: float, *layers: nn.Linear) -> None:
    with torch.no_grad():
        for layer in layers:
            layer.weight.div_(divisor)


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


def load_published(state: Mapping[str, Tensor], *, heads: int) -> AttentiveProbe:
    """The probe of a published classifier's state dict (with or without the prefix `module.`).

    `heads` cannot be read from the weights. Raises RuntimeError when a name or a shape does not fit.
    """
    own = {name.removeprefix("module."): value for name, value in state.items()}
    num_classes, dim = own["linear.weight"].shape
    blocks = {name.split(".")[2] for name in own if name.startswith("pooler.blocks.")}
    probe = AttentiveProbe(
        dim,
        num_classes,
        heads=heads,
        queries=own["pooler.query_tokens"].shape[1],
        mlp_ratio=own["pooler.cross_attention_block.mlp.fc1.weight"].shape[0] / dim,
        depth=1 + len(blocks),
        seed=0,
    )
    probe.load_state_dict(own)
    return probe


FAMILY = Family("attentive", AttentiveSpace, build)
