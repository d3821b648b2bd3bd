"""The readout of a batch of tokens by the queries of many probes, at the speed of reading the tokens.

Every token is standardised over its D features, every query row attends over the tokens by a softmax, and the
readout is the weighted mean of the standardised tokens. Tokens are used as they lie in the store: with x̂ =
(x - mean)·rstd the logits are rstd·(q·x - mean·Σq) and the readout is Σ (a·rstd)·x - Σ a·rstd·mean, so that
only products with raw tokens remain. They are walked through in pieces of N with a running softmax (Milakov and
Gimelshein, "Online normalizer calculation for softmax", 2018); the backward pass uses the weights of the forward
pass as far as they were worth their memory, and computes the others again (Dao et al., "FlashAttention", 2022).
Batches that fit a processor's cache are standardised once and kept.

Against double precision, with bfloat16 tokens on a CPU: the readout is within 1e-3 of its norm, most often within
1e-4, and the gradient of the queries within 1e-2 of its own, most often within 5e-3 (`distributed.products` says
why); with other tokens both are within 1e-5.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from distributed.products import dots, exact_rows, mixture, operand, rounded

EPS = 1e-5
# A batch whose standardised copy is smaller than this is kept whole.
_WHOLE_BYTES = {"cpu": 8 * 2**20, "cuda": 2 * 2**30}
# A piece: its tokens, and what the queries make of them.
_PIECE_BYTES = {"cpu": 8 * 2**20, "cuda": 256 * 2**20}
# Of the tokens' bytes, what weights kept for the backward pass may take, three results' bytes taken off.
_KEPT_SHARE = 1 / 8


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
    if tokens.device.type == "cpu" and tokens.dtype in (torch.float16, torch.bfloat16):
        # One pass that widens in registers; with a float32 weight its statistics are float32.
        weight = torch.ones(tokens.shape[-1])
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


def prepare(tokens: Tensor, statistics: TokenStatistics | None = None) -> PreparedTokens:
    """Tokens [B, N, D] of any floating type, made ready for readouts; with their statistics where these are known."""
    if is_small(tokens):
        return PreparedTokens(standardise(tokens), None)
    return PreparedTokens(tokens, statistics or token_statistics(tokens))


def readout(tokens: Tensor | PreparedTokens, queries: Tensor) -> Tensor:
    """Tokens [B, N, D] read out by queries float[R, D] -> float[B, R, D].

    Gradients reach the queries; tokens take none.
    """
    prepared = tokens if isinstance(tokens, PreparedTokens) else prepare(tokens)
    statistics = prepared.statistics
    if statistics is None:
        return _attend(prepared.values, queries)
    keep = torch.is_grad_enabled() and queries.requires_grad
    apply: Callable[..., Tensor] = _PiecewiseReadout.apply
    return apply(prepared.values, statistics.mean, statistics.rstd, queries, keep)


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
        """Of weights [b, R, n] that hold rstd as a factor: their sums without it, and times the mean, [b, R, 2]."""
        factors = torch.cat([self.rstd.reciprocal(), self.mean], dim=1).transpose(1, 2)
        return torch.bmm(weights.to(factors.dtype), factors)


@dataclass(frozen=True)
class _Rows:
    """Query rows made free of a mean, which no standardised token sees, so that sums with raw tokens stay small."""

    rows: tuple[Tensor, ...]
    offset: Tensor

    @classmethod
    def of(cls, rows: Tensor, like: Tensor, *, exact: bool) -> "_Rows":
        """Rows float[..., R, D] in the type of `like`; `exact`: with what rounding to it takes off."""
        centred = rows - rows.mean(dim=-1, keepdim=True)
        parts = exact_rows(centred, like.dtype) if exact else (centred.to(like.dtype),)
        return cls(parts, torch.stack([part.sum(dim=-1, keepdim=True, dtype=rows.dtype) for part in parts]).sum(dim=0))

    def on(self, piece: _Piece) -> Tensor:
        """Their products with the standardised tokens of a piece, float[b, R, n]."""
        return dots(piece.tokens, self.rows).sub_(self.offset * piece.mean).mul_(piece.rstd)

    def times(self, readout: Tensor) -> Tensor:
        """Each row's product with its own row of a readout [b, R, D] -> float[b, R, 1]."""
        return (self.rows[0] * readout).sum(dim=-1, keepdim=True)


class _PiecewiseReadout(torch.autograd.Function):
    """The readout of raw tokens with given statistics, a piece at a time."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, mean: Tensor, rstd: Tensor, queries: Tensor, keep: bool) -> Tensor:
        size = (len(tokens), len(queries))
        top = mean.new_full((*size, 1), -torch.inf)
        sums = mean.new_zeros((*size, 2))
        result = mean.new_zeros((*size, tokens.shape[-1]))
        budget = int(_KEPT_SHARE * tokens.nbytes) - 3 * result.nbytes if keep else 0
        kept: deque[tuple[Tensor, Tensor] | None] = deque()
        rows = None
        for piece in _pieces(tokens, mean, rstd, len(queries)):
            rows = rows or _Rows.of(queries, piece.tokens, exact=True)
            at = piece.videos
            logits = rows.on(piece)
            new_top = torch.maximum(top[at], logits.amax(dim=-1, keepdim=True))
            # The normaliser counts the weights as they are rounded.
            weights = rounded(logits.sub_(new_top).exp_().mul_(piece.rstd), piece.tokens)
            shrink = (top[at] - new_top).exp_()
            sums[at] = sums[at] * shrink + piece.sums(weights)
            result[at] *= shrink
            mixture(weights, piece.tokens, onto=result[at], exact=True)
            top[at] = new_top
            budget -= weights.nbytes
            kept.append((weights, new_top) if budget >= 0 else None)
        result = result.sub_(sums[..., 1:]).div_(sums[..., :1])
        ctx.save_for_backward(tokens, mean, rstd, queries, result, top + sums[..., :1].log())
        ctx.kept = kept
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None, Tensor, None]:
        tokens, mean, rstd, queries, result, normaliser = ctx.saved_tensors
        kept: deque[tuple[Tensor, Tensor] | None] = ctx.kept
        total, rows = torch.zeros_like(queries), None
        for at, pieces in groupby(_pieces(tokens, mean, rstd, len(queries)), lambda piece: piece.videos):
            by_video, sums, slopes = torch.zeros_like(result[at]), torch.zeros_like(result[at, :, :2]), None
            for piece in pieces:
                if slopes is None:
                    slopes = _Rows.of(grads[0][at], piece.tokens, exact=False)
                    centre = slopes.times(result[at])
                known = kept.popleft() if kept else None  # let go as soon as it is used
                if known is None:
                    rows = rows or _Rows.of(queries, piece.tokens, exact=True)
                    weights = rows.on(piece).sub_(normaliser[at]).exp_().mul_(piece.rstd)
                else:
                    weights = known[0] * (known[1] - normaliser[at]).exp_()
                pulls = rounded(slopes.on(piece).sub_(centre).mul_(weights), piece.tokens)
                sums += piece.sums(pulls)
                mixture(pulls, piece.tokens, onto=by_video, exact=False)
            # Pulls add up to nothing but for their rounding, which the common part of all tokens must not see.
            by_video.sub_(sums[..., 1:]).addcmul_(sums[..., :1], result[at], value=-1)
            total += by_video.sum(dim=0)
        return None, None, None, total, None


def _pieces(tokens: Tensor, mean: Tensor, rstd: Tensor, num_rows: int) -> Iterator[_Piece]:
    """Contiguous pieces: several whole videos where these are short, else parts of one."""
    videos, count, dim = tokens.shape
    limit = _limit(_PIECE_BYTES, tokens)
    length = max(1, min(limit // (dim * _wide_type(tokens).itemsize // 2), limit // (96 * num_rows)))
    step = max(1, length // max(1, count))
    for first in range(0, videos, step):
        at = slice(first, min(first + step, videos))
        for start in range(0, count, min(length, count)):
            part = slice(start, min(start + length, count))
            yield _Piece(at, operand(tokens[at, part]), mean[at, None, part], rstd[at, None, part])


def _wide_type(tokens: Tensor) -> torch.dtype:
    return torch.promote_types(tokens.dtype, torch.float32)


def _limit(limits: dict[str, int], tokens: Tensor) -> int:
    return limits.get(tokens.device.type, limits["cpu"])
