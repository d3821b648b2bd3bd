"""The parts of the published probes: blocks of self-attention, and queries that attend over tokens without keys.

Parameters keep the names and shapes of V-JEPA's code, and start as they do there.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.probe import Dropout, RandomStream, linear

INIT_STD = 0.02
PREFIX = "module."  # of every name in a published checkpoint, left there by distributed training


@dataclass(frozen=True)
class PublishedClassifier:
    """A published attentive classifier's state dict under its plain names, and the sizes that its shapes tell."""

    state: dict[str, Tensor]
    dim: int
    num_classes: int
    queries: int
    mlp_ratio: float
    depth: int

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> Self:
        """Read a state dict with or without the prefix `module.`; RuntimeError where it is of something else."""
        own = {name.removeprefix(PREFIX): value for name, value in state.items()}
        hidden = "pooler.cross_attention_block.mlp.fc1.weight"
        for name in ("linear.weight", "pooler.query_tokens", hidden):
            if name not in own:
                raise RuntimeError(f"the weights hold no {name}, so they are not those of an attentive classifier")
        num_classes, dim = own["linear.weight"].shape
        blocks = {name.split(".")[2] for name in own if name.startswith("pooler.blocks.")}
        queries, ratio = own["pooler.query_tokens"].shape[1], own[hidden].shape[0] / dim
        return cls(own, dim, num_classes, queries, ratio, 1 + len(blocks))


def published_names(probe: nn.Module) -> dict[str, Tensor]:
    """A probe's weights under the names that they have in a published checkpoint."""
    return {PREFIX + name: value for name, value in probe.state_dict().items()}


def learned_queries(count: int, dim: int, stream: RandomStream) -> nn.Parameter:
    """Query tokens float[1, Q, D] that start as the published ones do."""
    queries = nn.Parameter(torch.empty(1, count, dim))
    nn.init.trunc_normal_(queries, std=INIT_STD, generator=stream.on(torch.device("cpu")))
    return queries


class Mlp(nn.Module):
    """Two linear layers with a GELU."""

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

    def __init__(self, dim: int, heads: int, dropout: float, stream: RandomStream, *, projection: bool) -> None:
        super().__init__()
        self.heads = heads
        self.q = linear(dim, dim, stream, std=INIT_STD)
        self.kv = linear(dim, 2 * dim, stream, std=INIT_STD)
        self.proj = linear(dim, dim, stream, std=INIT_STD) if projection else nn.Identity()
        self.drop = Dropout(dropout, stream)
        self._values: Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without what only lives between the two halves of a step."""
        return {**self.__dict__, "_values": None}

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


class CrossAttentionBlock(nn.Module):
    """Queries that attend over tokens, and an MLP, each on normed input and added to the queries.

    `projection`: whether the attention's output is projected; `layer` scales its first weights, as in `Block`.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        hidden: int,
        dropout: float,
        stream: RandomStream,
        *,
        projection: bool = True,
        layer: int = 1,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.xattn = _CrossAttention(dim, heads, dropout, stream, projection=projection)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, hidden, dropout, stream)
        _divide(math.sqrt(2 * layer), self.xattn.proj, self.mlp.fc2)

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
        self.mlp = Mlp(dim, hidden, dropout, stream)
        _divide(math.sqrt(2 * layer), self.attn.proj, self.mlp.fc2)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        output: Tensor = x + self.mlp(self.norm2(x))
        return output


def _divide(divisor: float, *layers: nn.Module) -> None:
    with torch.no_grad():
        for layer in layers:
            if isinstance(layer, nn.Linear):
                layer.weight.div_(divisor)
