"""Products of a few rows with many tokens, from bfloat16's matrix units without losing what they round away.

On a CPU with bfloat16 instructions the product of bfloat16 matrices is several times as fast as one of float32, and
its sums are float32 inside; but torch rounds the result to bfloat16's 8 bits. What tokens share, which in real
encoders is most of them, would drown the rest in that rounding. So it is taken off inside the product, where sums are
float32 (as a bias, or as the matrix that a product is added to), and given back afterwards in float32: what is rounded
is the small rest. Its error then is of the size of the tokens' own rounding to bfloat16.
"""

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# From how many tokens of a batch its common part is taken: it need not be exact, and few cost nothing.
_SAMPLE = 1024


@functools.cache
def has_fast_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in instructions of its own."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def enters_as_it_is(tokens: Tensor) -> bool:
    """Whether tokens enter products in the type they have."""
    if tokens.dtype == torch.bfloat16:
        return tokens.device.type == "cpu" and has_fast_bfloat16()
    return tokens.dtype != torch.float16


def operand(tokens: Tensor) -> Tensor:
    """Tokens as they enter products: bfloat16 as it is where that is fast, anything else at least float32."""
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

    They are free of a mean, which no standardised token sees. `bias` takes their product with the common part of the
    tokens off, `back` gives it back as it is before `main` and `bias` are rounded.
    """

    main: Tensor
    bias: Tensor
    back: Tensor

    @classmethod
    def of(cls, rows: Tensor, common: Tensor) -> "Rows":
        """Rows float[..., R, D] for tokens that have `common`, [D], in common."""
        centred = rows - rows.mean(dim=-1, keepdim=True)
        main, shared = centred.to(common.dtype), common.to(rows.dtype)
        taken = main.to(rows.dtype) @ shared
        bias = -taken.to(common.dtype)
        return cls(main, bias, (centred @ shared - taken - bias)[..., None])

    def on(self, tokens: Tensor, rstd: Tensor) -> Tensor:
        """Their products with tokens [b, n, D], standardised with rstd float[b, 1, n] -> float[b, R, n], contiguous."""
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
    taken = (sums * -common.to(sums.dtype)).to(tokens.dtype)
    return torch.baddbmm(taken, weights, tokens).to(sums.dtype).sub_(taken)
