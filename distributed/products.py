"""Products of a few rows with many 16-bit tokens, in matrix units and without losing what these round away.

On a GPU the products of float16 and bfloat16 matrices have float32 sums and are asked for as float32: nothing but the
rows and weights that meet the tokens is rounded. float16 has no room for small numbers, so these are scaled by row.

On a CPU with bfloat16 instructions the product of bfloat16 matrices is several times as fast as one of float32, and
its sums are float32 inside; but torch rounds the result to bfloat16's 8 bits. What tokens share, which in real
encoders is most of them, would drown the rest in that rounding. So it is taken off inside the product, where sums are
float32 (as a bias, or as the matrix that a product is added to), and given back afterwards in float32: what is rounded
is the small rest. Its error then is of the size of the tokens' own rounding to bfloat16.

Float32 products lose nothing. On a CPU they are cut along the tokens into many small ones, which a processor's library
spreads over its threads and keeps in their caches; with one of few rows and very many tokens it does that badly.
"""

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# From how many tokens of a batch its common part is taken: it need not be exact, and few cost nothing.
_SAMPLE = 1024
# About how many tokens one of the small products takes.
_PART = 512


@functools.cache
def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in instructions of its own."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def has_wide_products(tokens: Tensor) -> bool:
    """Whether products of these tokens' type on their device can be float32."""
    return tokens.device.type == "cuda" and tokens.dtype in (torch.float16, torch.bfloat16)


def wide_product(first: Tensor, second: Tensor) -> Tensor:
    """[b, n, k] times [b, k, m] of a 16-bit type -> float32[b, n, m]."""
    return torch.bmm(first, second, out_dtype=torch.float32)


def _over_tokens(rows: Tensor, tokens: Tensor) -> Tensor:
    """Rows [b, R, D], or [R, D] for all, times tokens [b, n, D] of their type -> [b, R, n], float32 or wider."""
    rows = rows.expand(len(tokens), -1, -1)
    if has_wide_products(tokens):
        return wide_product(rows, tokens.transpose(1, 2))
    if not _is_cut(tokens):
        return torch.bmm(rows, tokens.transpose(1, 2))
    result = tokens.new_empty((*rows.shape[:2], tokens.shape[1]))
    for video, own, out in zip(tokens, rows, result, strict=True):
        parts, rest = _parts(video)
        products = torch.bmm(own.expand(len(parts), -1, -1), parts.transpose(1, 2))
        out[:, : len(video) - len(rest)].unflatten(1, parts.shape[:2]).copy_(products.transpose(0, 1))
        out[:, len(video) - len(rest) :] = own @ rest.T
    return result


def _mixed(weights: Tensor, tokens: Tensor) -> Tensor:
    """Weights [b, R, n] times tokens [b, n, D] of their type -> [b, R, D], float32 or wider."""
    if has_wide_products(tokens):
        return wide_product(weights, tokens)
    if not _is_cut(tokens):
        return torch.bmm(weights, tokens)
    result = tokens.new_empty((*weights.shape[:2], tokens.shape[2]))
    for video, own, out in zip(tokens, weights, result, strict=True):
        parts, rest = _parts(video)
        mine, last = own.split([len(video) - len(rest), len(rest)], dim=1)
        products = torch.bmm(mine.unflatten(1, parts.shape[:2]).transpose(0, 1), parts)
        torch.addmm(products.sum(dim=0), last, rest, out=out)
    return result


def _is_cut(tokens: Tensor) -> bool:
    return tokens.device.type == "cpu" and tokens.shape[1] >= _PART


def _parts(video: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens [n, D] as equal parts [k, about _PART, D], an even number of them, and the few that are left."""
    count = 2 * max(1, round(len(video) / (2 * _PART)))
    whole = len(video) - len(video) % count
    return video[:whole].view(count, -1, video.shape[1]), video[whole:]


def _is_exact(tokens: Tensor) -> bool:
    """Whether tokens enter products as float32 or wider, so that nothing is rounded to 16 bits."""
    return tokens.itemsize > 2


def narrowed(values: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Values [..., n] in a type, and the factor of each row, [..., 1], that gives them back: all 1 but for float16."""
    if dtype != torch.float16:
        return values.to(dtype), torch.ones_like(values[..., :1])
    factor = values.abs().amax(dim=-1, keepdim=True).clamp_min(torch.finfo(values.dtype).tiny)
    return (values / factor).to(dtype), factor


def enters_as_it_is(tokens: Tensor) -> bool:
    """Whether tokens enter products in the type they have."""
    if has_wide_products(tokens):
        return True
    if tokens.dtype == torch.bfloat16:
        return tokens.device.type == "cpu" and has_fast_bfloat16()
    return tokens.dtype != torch.float16


def operand(tokens: Tensor) -> Tensor:
    """Tokens as they enter products: 16-bit ones as they are where that is fast, else at least float32."""
    return tokens if enters_as_it_is(tokens) else tokens.float()


def common_part(tokens: Tensor) -> Tensor:
    """About what the tokens [B, N, D] of a batch share: the mean of a few, [D] in the type they enter products."""
    flat = tokens.flatten(0, 1)
    sample = operand(flat[:: -(-len(flat) // _SAMPLE)])
    # A product, as a mean would make a wide copy of the sample; that 1/n is rounded does no harm.
    return (sample.new_full((1, len(sample)), 1 / len(sample)) @ sample)[0]


@dataclass(frozen=True)
class Rows:
    """Rows [R, D], or [b, R, D] of each video, ready to meet standardised tokens.

    They are free of a mean, which no standardised token sees. Where products are rounded, `bias` takes their product
    with the common part of the tokens off, and `back` gives it back as it is before `main` and `bias` are rounded.
    Where only `main` is rounded, it is to be multiplied by `factor`, and `back` gives what that lost. Where nothing is,
    all three are None.
    """

    main: Tensor
    bias: Tensor | None = None
    back: Tensor | None = None
    factor: Tensor | None = None

    @classmethod
    def of(cls, rows: Tensor, common: Tensor) -> "Rows":
        """Rows float[..., R, D] for tokens that have `common`, [D], in common."""
        centred = rows - rows.mean(dim=-1, keepdim=True)
        if _is_exact(common):
            return cls(centred.to(common.dtype))
        shared = common.to(rows.dtype)
        main, factor = narrowed(centred, common.dtype)
        taken = main.to(rows.dtype).mul_(factor) @ shared
        if has_wide_products(common):
            return cls(main, None, (centred @ shared - taken)[..., None], factor)
        bias = -taken.to(common.dtype)
        return cls(main, bias, (centred @ shared - taken - bias)[..., None])

    def on(self, tokens: Tensor, rstd: Tensor) -> Tensor:
        """Their products with tokens [b, n, D], standardised with rstd float[b, 1, n] -> float[b, R, n], contiguous."""
        if self.bias is None or self.back is None:
            products = _over_tokens(self.main, tokens)
            if self.factor is not None and self.back is not None:
                products.mul_(self.factor).add_(self.back)
            return products.mul_(rstd)
        result = rstd.new_empty((len(tokens), self.main.shape[-2], tokens.shape[1]))
        if self.main.ndim == 2:
            products = F.linear(tokens.flatten(0, 1), self.main, self.bias).view(*tokens.shape[:2], -1)
            torch.add(products.transpose(1, 2), self.back, out=result)
        else:
            for video, main, bias, back, own in zip(tokens, self.main, self.bias, self.back, result, strict=True):
                torch.add(F.linear(video, main, bias).T, back, out=own)
        return result.mul_(rstd)


def mixture(weights: Tensor, tokens: Tensor, common: Tensor, sums: Tensor) -> Tensor:
    """Weights [b, R, n] times tokens [b, n, D], both of one type -> float[b, R, D].

    `common`: about what the tokens share, [D]; `sums`: the sums of the weights, float[b, R, 1].
    """
    if has_wide_products(tokens) or _is_exact(tokens):
        return _mixed(weights, tokens)
    taken = (sums * -common.to(sums.dtype)).to(tokens.dtype)
    return torch.baddbmm(taken, weights, tokens).to(sums.dtype).sub_(taken)
