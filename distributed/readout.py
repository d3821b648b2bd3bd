"""The readout of a batch of tokens by the queries of many probes, at the speed of reading the tokens.

Every token is standardised over its D features, every query row attends over the tokens by a softmax, and the
readout is the weighted mean of the standardised tokens. Tokens are used as they lie in the store: with x̂ =
(x - mean)·rstd the logits are rstd·(q·x - mean·Σq), of which a q without a mean leaves rstd·q·x, and the readout is
Σ (a·rstd)·x - Σ a·rstd·mean, so that only products with raw tokens remain. They are walked through in pieces, as large
as the weights of all rows allow, each with a softmax of its own whose normaliser says its share in the whole (Milakov
and Gimelshein, "Online normalizer calculation for softmax", 2018); the backward pass uses the weights of the forward
pass as far as they were worth their memory, and computes the others again (Dao et al., "FlashAttention", 2022).
Batches that fit a processor's cache are standardised once and kept. Large batches of 16-bit tokens on a GPU are read by
programs of our own where these can run (`distributed.readout_kernel`); the rest of this file is what they are held to.

With bfloat16 tokens on a CPU, products are rounded (`distributed.products`); logits and gradients of an attentive probe
are nearer to double precision than those of the same classifier in bfloat16. With 16-bit tokens on a GPU only what
meets them is. With other tokens both are within 1e-5.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from distributed.batch_memory import BatchMemory
from distributed.products import Rows, common_part, enters_as_it_is, mixture, narrowed
from distributed.readout_kernel import read_out
from distributed.readout_trust import is_trusted

EPS = 1e-5
# A batch whose standardised copy is smaller than this is kept whole.
_WHOLE_BYTES = {"cpu": 8 * 2**20, "cuda": 8 * 2**20}
# A piece: what the queries make of its tokens, and a wider copy of them where products or statistics need one.
_PIECE_BYTES = {"cpu": 4 * 2**20, "cuda": 16 * 2**20}
# Of the tokens' bytes, what a readout may take: three results, a piece, and weights kept for the backward pass.
_SHARE = 1 / 8


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

    def cut(self, parts: int) -> "PreparedTokens":
        """Every video as `parts` videos, one after the other: equal parts of its sequence of tokens.

        Raises ValueError when it cannot be cut into equal ones.
        """
        if parts == 1:
            return self
        if self.values.shape[1] % parts:
            raise ValueError(f"{self.values.shape[1]} tokens of a video cannot be cut into {parts} equal parts")
        values = self.values.reshape(-1, self.values.shape[1] // parts, self.values.shape[2])
        if self.statistics is None:
            return PreparedTokens(values, None)
        mean, rstd = (each.reshape(values.shape[:2]) for each in (self.statistics.mean, self.statistics.rstd))
        return PreparedTokens(values, TokenStatistics(mean, rstd))


def token_statistics(tokens: Tensor) -> TokenStatistics:
    """Statistics of tokens float[B, N, D], biased variance plus 1e-5, as a LayerNorm has them."""
    shape, dim = tokens.shape[:2], tokens.shape[-1]
    flat = tokens.reshape(-1, dim)
    length = max(1, _limit(_PIECE_BYTES, tokens) // (dim * _wide_type(tokens).itemsize))
    parts = [_statistics(flat[start : start + length]) for start in range(0, len(flat), length)]
    means, rstds = zip(*parts, strict=True)
    return TokenStatistics(torch.cat(means).view(shape), torch.cat(rstds).view(shape))


def _statistics(tokens: Tensor) -> tuple[Tensor, Tensor]:
    if tokens.device.type == "cpu":
        # One pass that widens in registers, twelve times as fast as `var_mean`. A wide weight makes statistics wide.
        weight = torch.ones(tokens.shape[-1], dtype=_wide_type(tokens))
        _, mean, rstd = torch.native_layer_norm(tokens, tokens.shape[-1:], weight, None, EPS)
        return mean, rstd
    variance, mean = torch.var_mean(tokens.to(_wide_type(tokens)), dim=-1, correction=0)
    return mean, torch.rsqrt(variance + EPS)


def standardise(tokens: Tensor) -> Tensor:
    """Tokens [B, N, D] of any floating type, each standardised over D; float32, or float64 of float64."""
    return F.layer_norm(tokens.to(_wide_type(tokens)), tokens.shape[-1:], eps=EPS)


def is_small(tokens: Tensor) -> bool:
    """Whether a batch [B, N, D] is standardised and kept rather than read as it is."""
    return tokens.numel() * _wide_type(tokens).itemsize <= _limit(_WHOLE_BYTES, tokens)


def prepare(
    tokens: Tensor, statistics: TokenStatistics | None = None, *, memory: BatchMemory | None = None
) -> PreparedTokens:
    """Tokens [B, N, D] of any floating type, made ready for readouts; with their statistics where these are known.

    `memory`: what is standardised is put there, if the tokens are on the CPU as it is.
    """
    if not is_small(tokens):
        return PreparedTokens(tokens, statistics or token_statistics(tokens))
    if memory is None or tokens.device.type != "cpu":
        return PreparedTokens(standardise(tokens), None)
    known = statistics or token_statistics(tokens)
    values = memory.take(tokens.shape, _wide_type(tokens)).copy_(tokens)
    return PreparedTokens(values.sub_(known.mean.unsqueeze(-1)).mul_(known.rstd.unsqueeze(-1)), None)


def readout(tokens: Tensor | PreparedTokens, queries: Tensor) -> Tensor:
    """Tokens [B, N, D] read out by queries float[R, D] -> float[B, R, D].

    Gradients reach the queries; tokens take none.
    """
    prepared = tokens if isinstance(tokens, PreparedTokens) else prepare(tokens)
    statistics = prepared.statistics
    if statistics is None:
        return _attend(prepared.values, queries)
    if uses_programs(prepared, queries):
        return read_out(prepared.values, statistics.mean, statistics.rstd, queries)
    keep = torch.is_grad_enabled() and queries.requires_grad
    apply: Callable[..., Tensor] = _PiecewiseReadout.apply
    return apply(prepared.values, statistics.mean, statistics.rstd, queries, keep)


def uses_programs(tokens: PreparedTokens, queries: Tensor) -> bool:
    """Whether these are read by programs of our own on a GPU, rather than by torch alone."""
    return tokens.statistics is not None and is_trusted(tokens.values, queries, _plainly)


def _plainly(tokens: Tensor, queries: Tensor) -> Tensor:
    return _attend(standardise(tokens), queries)


def _attend(standardised: Tensor, queries: Tensor) -> Tensor:
    weights = torch.matmul(queries, standardised.transpose(1, 2)).softmax(dim=-1)
    return torch.bmm(weights, standardised)


@dataclass(frozen=True)
class _Piece:
    """Whole videos, or a part of one: tokens [b, n, D] ready for products, their statistics float[b, 1, n]."""

    videos: slice
    tokens: Tensor
    mean: Tensor
    rstd: Tensor

    def sums(self, weights: Tensor) -> Tensor:
        """Of weights [b, R, n] that hold rstd as a factor: their sums without it, times the mean, and plain."""
        factors = torch.cat([self.rstd.reciprocal(), self.mean, torch.ones_like(self.mean)], dim=1)
        return torch.bmm(weights.to(factors.dtype), factors.transpose(1, 2))


class _PiecewiseReadout(torch.autograd.Function):
    """The readout of raw tokens with given statistics, a piece at a time."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, mean: Tensor, rstd: Tensor, queries: Tensor, keep: bool) -> Tensor:
        size = (len(tokens), len(queries))
        normaliser = mean.new_full((*size, 1), -torch.inf)
        sums = mean.new_zeros((*size, 2))
        result = mean.new_zeros((*size, tokens.shape[-1]))
        common = common_part(tokens)
        rows = Rows.of(queries, common)
        budget = int(_SHARE * tokens.nbytes) - 3 * result.nbytes - _limit(_PIECE_BYTES, tokens) if keep else 0
        normalisers: list[Tensor] = []
        kept: deque[Tensor | None] = deque()
        for piece in _pieces(tokens, mean, rstd, len(queries)):
            at = piece.videos
            weights, normaliser_here = _weights(rows, piece)
            normaliser_now = torch.logaddexp(normaliser[at], normaliser_here)
            shrink, share = (normaliser[at] - normaliser_now).exp_(), (normaliser_here - normaliser_now).exp_()
            sums_here = piece.sums(weights)
            mixed = mixture(weights, piece.tokens, common, sums_here[..., 2:])
            result[at] = result[at].mul_(shrink).addcmul_(mixed, share)
            sums[at] = sums[at] * shrink + sums_here[..., :2] * share
            normaliser[at] = normaliser_now
            budget -= weights.nbytes
            kept.append(weights if budget >= 0 else None)
            normalisers.append(normaliser_here)
        # The sum of the weights counts them as they are rounded.
        result = result.sub_(sums[..., 1:]).div_(sums[..., :1])
        ctx.save_for_backward(tokens, mean, rstd, queries, result, normaliser + sums[..., :1].log(), common)
        ctx.normalisers, ctx.kept = normalisers, kept
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None, Tensor, None]:
        tokens, mean, rstd, queries, result, normaliser, common = ctx.saved_tensors
        kept: deque[Tensor | None] = ctx.kept
        normalisers = iter(ctx.normalisers)
        rows = Rows.of(queries, common)
        total = torch.zeros_like(queries)
        for at, pieces in groupby(_pieces(tokens, mean, rstd, len(queries)), lambda piece: piece.videos):
            slopes = Rows.of(grads[0][at], common)
            centre = (grads[0][at] * result[at]).sum(dim=-1, keepdim=True)
            for piece in pieces:
                known = kept.popleft() if kept else None  # let go as soon as it is used
                weights = _weights(rows, piece)[0] if known is None else known
                pulls = slopes.on(piece.tokens, piece.rstd).sub_(centre).mul_(weights)
                pulls, factor = narrowed(pulls, weights.dtype)
                sums = piece.sums(pulls)
                part = mixture(pulls, piece.tokens, common, sums[..., 2:]).sub_(sums[..., 1:2])
                # Pulls add up to nothing but for their rounding, which the common part of all tokens must not see.
                part.addcmul_(sums[..., :1], result[at], value=-1)
                total += part.mul_((next(normalisers) - normaliser[at]).exp_().mul_(factor)).sum(dim=0)
        return None, None, None, total, None


def _weights(rows: Rows, piece: _Piece) -> tuple[Tensor, Tensor]:
    """The softmax within a piece times rstd, [b, R, n] in the type of the tokens, and its normaliser's log.

    In float16 relative to its largest weight, as the shares of thousands of tokens would be too small for that type.
    """
    logits = rows.on(piece.tokens, piece.rstd)
    top = logits.amax(dim=-1, keepdim=True)
    if piece.tokens.dtype == torch.float16:
        return logits.sub_(top).exp_().mul_(piece.rstd).to(torch.float16), top
    weights = logits.softmax(dim=-1)
    # The largest weight is exp(top - normaliser).
    normaliser = top - weights.amax(dim=-1, keepdim=True).log()
    return weights.mul_(piece.rstd).to(piece.tokens.dtype), normaliser


def _pieces(tokens: Tensor, mean: Tensor, rstd: Tensor, num_rows: int) -> Iterator[_Piece]:
    """Contiguous pieces: several whole videos where these are short, else parts of one. Each may end the one before."""
    videos, count, dim = tokens.shape
    wide = None if enters_as_it_is(tokens) else _wide_type(tokens)
    # A row and token takes 12 bytes: logits, the softmax, and both products as they are rounded.
    each = max(12 * num_rows, 0 if wide is None else dim * wide.itemsize)
    length = max(1, _limit(_PIECE_BYTES, tokens) // each)
    step = max(1, length // max(1, count))
    length = min(length, count)
    room = None if wide is None else tokens.new_empty(min(step, videos) * length * dim, dtype=wide)
    for first in range(0, videos, step):
        at = slice(first, min(first + step, videos))
        for start in range(0, count, length):
            part = slice(start, min(start + length, count))
            own = tokens[at, part]
            if room is not None:
                own = room[: own.numel()].view(own.shape).copy_(own)
            yield _Piece(at, own, mean[at, None, part], rstd[at, None, part])


def _wide_type(tokens: Tensor) -> torch.dtype:
    return torch.promote_types(tokens.dtype, torch.float32)


def _limit(limits: dict[str, int], tokens: Tensor) -> int:
    return limits.get(tokens.device.type, limits["cpu"])
