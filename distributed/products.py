"""Products of a few rows with many tokens, near float32's accuracy from bfloat16's matrix units.

On a CPU with bfloat16 instructions the product of bfloat16 matrices is several times as fast as one of float32, and
its sums are float32 inside; but torch rounds the result to bfloat16's 8 bits. Adding the product once more to its own
negated result leaves what the rounding took off, so that the two together hold about 16 bits: two products over
tokens that lie in the cache by then. Rows of float32 are split the same way into two of bfloat16. Weights are not
split: their rounding, 2⁻⁹ of each, is an error of the size that the tokens' own 16 bits have. Gradients do without
either: their rounding is far below what one batch differs from the next.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor


@functools.cache
def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in instructions of its own."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def operand(tokens: Tensor) -> Tensor:
    """Tokens as they enter products: bfloat16 as it is where that is fast, anything else at least float32."""
    if tokens.dtype == torch.bfloat16 and tokens.device.type == "cpu" and has_fast_bfloat16():
        return tokens
    return tokens.to(torch.promote_types(tokens.dtype, torch.float32))


def exact_rows(rows: Tensor, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Rows in `dtype`, followed by what rounding to it took off, if it did."""
    main = rows.to(dtype)
    return (main, (rows - main).to(dtype)) if dtype == torch.bfloat16 else (main,)


def rounded(weights: Tensor, tokens: Tensor) -> Tensor:
    """Weights in the type of the tokens they meet."""
    return weights.to(tokens.dtype)


def dots(tokens: Tensor, rows: tuple[Tensor, ...]) -> Tensor:
    """Tokens [b, n, D] times rows [R, D], or [b, R, D] of each video -> float[b, R, n], contiguous.

    `rows` are a main part and what `exact_rows` adds to it; without the latter, the product is left as it is rounded.
    """
    if tokens.dtype != torch.bfloat16:
        return torch.matmul(rows[0], tokens.transpose(1, 2))
    shared, count = rows[0].ndim == 2, rows[0].shape[-2]
    if not shared and len(tokens) > 1:
        each = [dots(one[None], tuple(part[i] for part in rows)) for i, one in enumerate(tokens)]
        return torch.cat(each)
    flat, parts = tokens.flatten(0, 1), [part if shared else part[0] for part in rows]
    products = F.linear(flat, torch.cat(parts))
    main = products[:, :count]
    result = main.float()
    if len(parts) > 1:
        result += torch.addmm(main, flat, parts[0].T, beta=-1)
        result += products[:, count:]
    return result.view(*tokens.shape[:2], count).transpose(1, 2).contiguous()


def mixture(weights: Tensor, tokens: Tensor, *, onto: Tensor, exact: bool) -> None:
    """Add weights [b, R, n] times tokens [b, n, D], both of one type, onto float[b, R, D]."""
    if tokens.dtype != torch.bfloat16:
        onto.baddbmm_(weights, tokens)
        return
    product = torch.bmm(weights, tokens)
    onto += product
    if exact:
        onto += torch.baddbmm(product, weights, tokens, beta=-1)
