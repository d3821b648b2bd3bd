"""The readout of a batch of tokens by the queries of many probes: exact, in memory that does not grow with N.

Every token is standardised over its D features, every query row attends over the tokens by a softmax, and the
readout is the weighted mean of the standardised tokens. Small batches are standardised once and kept; large
ones are walked through in pieces of N with a running softmax (Milakov and Gimelshein, "Online normalizer
calculation for softmax", 2018), whose weights the backward pass computes again (Dao et al., "FlashAttention",
2022).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-5
# A batch whose standardised copy is smaller than this is kept whole; pieces are as large as fits a
# processor's cache, or keeps a GPU busy.
_WHOLE_BYTES = {"cpu": 64 * 2**20, "cuda": 2 * 2**30}
_PIECE_BYTES = {"cpu": 4 * 2**20, "cuda": 256 * 2**20}


@dataclass(frozen=True)
class TokenStatistics:
    """Mean and reciprocal deviation of every token over its features, float[B, N] each."""

    mean: Tensor
    rstd: Tensor


@dataclass(frozen=True)
class PreparedTokens:
    """A batch of tokens that several readouts share.

    `values`, [B, N, D], are standardised when `statistics` is None, else they are as they were read.
    """

    values: Tensor
    statistics: TokenStatistics | None

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, start: int, stop: int) -> "PreparedTokens":
        """The videos from `start` up to `stop` of the batch."""
        if self.statistics is None:
            return PreparedTokens(self.values[start:stop], None)
        mean, rstd = self.statistics.mean[start:stop], self.statistics.rstd[start:stop]
        return PreparedTokens(self.values[start:stop], TokenStatistics(mean, rstd))


def token_statistics(tokens: Tensor) -> TokenStatistics:
    """Statistics of tokens float[B, N, D], biased variance plus 1e-5, as a LayerNorm has them."""
    parts = []
    for start, stop in _pieces(tokens):
        variance, mean = torch.var_mean(_wide(tokens[:, start:stop]), dim=-1, correction=0)
        parts.append((mean, torch.rsqrt(variance + EPS)))
    means, rstds = zip(*parts, strict=True)
    return TokenStatistics(torch.cat(means, dim=1), torch.cat(rstds, dim=1))


def standardise(tokens: Tensor) -> Tensor:
    """Tokens [B, N, D] of any floating type, each standardised over D; float32, or float64 of float64."""
    return F.layer_norm(_wide(tokens), tokens.shape[-1:], eps=EPS)


def prepare(tokens: Tensor) -> PreparedTokens:
    """Tokens [B, N, D] of any floating type, made ready for readouts."""
    if _bytes(tokens) <= _limit(_WHOLE_BYTES, tokens):
        return PreparedTokens(standardise(tokens), None)
    return PreparedTokens(tokens, token_statistics(tokens))


def readout(tokens: Tensor | PreparedTokens, queries: Tensor) -> Tensor:
    """Tokens [B, N, D] read out by queries float[R, D] -> float[B, R, D].

    Gradients reach the queries; tokens take none.
    """
    prepared = tokens if isinstance(tokens, PreparedTokens) else prepare(tokens)
    statistics = prepared.statistics
    if statistics is None:
        return _attend(prepared.values, queries)
    apply: Callable[..., Tensor] = _PiecewiseReadout.apply
    return apply(prepared.values, statistics.mean, statistics.rstd, queries)


def _attend(standardised: Tensor, queries: Tensor) -> Tensor:
    weights = torch.matmul(queries, standardised.transpose(1, 2)).softmax(dim=-1)
    return torch.bmm(weights, standardised)


class _PiecewiseReadout(torch.autograd.Function):
    """The readout of raw tokens with given statistics, a piece of N at a time."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, mean: Tensor, rstd: Tensor, queries: Tensor) -> Tensor:
        size = (len(tokens), len(queries), 1)
        top = mean.new_full(size, -torch.inf)
        total = mean.new_zeros(size)
        result = mean.new_zeros((*size[:2], tokens.shape[-1]))
        for x in _standardised_pieces(tokens, mean, rstd):
            logits = torch.matmul(queries, x.transpose(1, 2))
            new_top = torch.maximum(top, logits.amax(dim=-1, keepdim=True))
            weights = logits.sub_(new_top).exp_()
            shrink = (top - new_top).exp_()
            total = total.mul_(shrink).add_(weights.sum(dim=-1, keepdim=True))
            result = torch.baddbmm(result.mul_(shrink), weights, x)
            top = new_top
        result = result.div_(total)
        ctx.save_for_backward(tokens, mean, rstd, queries, result, top + total.log())
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None, Tensor]:
        tokens, mean, rstd, queries, result, normaliser = ctx.saved_tensors
        grad = grads[0]
        centre = (grad * result).sum(dim=-1, keepdim=True)
        by_video = torch.zeros_like(result)
        for x in _standardised_pieces(tokens, mean, rstd):
            transposed = x.transpose(1, 2)
            weights = torch.matmul(queries, transposed).sub_(normaliser).exp_()
            weights *= torch.bmm(grad, transposed).sub_(centre)
            by_video.baddbmm_(weights, x)
        return None, None, None, by_video.sum(dim=0)


def _standardised_pieces(tokens: Tensor, mean: Tensor, rstd: Tensor) -> Iterator[Tensor]:
    for start, stop in _pieces(tokens):
        piece = _wide(tokens[:, start:stop])
        yield (piece - mean[:, start:stop, None]).mul_(rstd[:, start:stop, None])


def _pieces(tokens: Tensor) -> Iterator[tuple[int, int]]:
    count = tokens.shape[1]
    length = max(1, int(count * _limit(_PIECE_BYTES, tokens) / max(1, _bytes(tokens))))
    for start in range(0, count, length):
        yield start, min(start + length, count)


def _wide(tokens: Tensor) -> Tensor:
    return tokens.to(torch.promote_types(tokens.dtype, torch.float32))


def _bytes(tokens: Tensor) -> int:
    return tokens.numel() * torch.promote_types(tokens.dtype, torch.float32).itemsize


def _limit(limits: dict[str, int], tokens: Tensor) -> int:
    return limits.get(tokens.device.type, limits["cpu"])
