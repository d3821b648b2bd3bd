"""Tokens at the widths of ViT-L and ViT-H against numbers that the published implementation has given.

Recipe of the numbers: `VisionTransformer` of `src/models/vision_transformer.py` in facebookresearch/jepa with
`img_size=48, num_frames=4, tubelet_size=2, uniform_power=True, mlp_ratio=4, qkv_bias=True`, LayerNorm eps 1e-6 and
the width, depth and heads below; every parameter but `pos_embed` filled by `filled`, in the order of
`named_parameters`; float32 on a CPU; the clips of `clip`. Kept are the norm of all tokens and some of their entries.
With all 24 and 32 blocks the two agree as well (relative difference below 1e-6), which is too slow for a test.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from distributed.encoders.vjepa import VisionTransformer, position_table


def hashed(count: int, seed: int) -> Tensor:
    """float64[count] between -0.5 and 0.5, the same on every machine: an integer hash of the position."""
    x = (torch.arange(count, dtype=torch.int64) + seed * 7919) * 40503 % 2**32
    x = (x ^ (x >> 15)) * 1103515245 % 2**31
    x = (x ^ (x >> 13)) * 12345 % 2**31
    return (x ^ (x >> 11)).double() / 2**31 - 0.5


def filled(shape: torch.Size, name: str, number: int) -> Tensor:
    """Biases and norms far from 0 and 1, matrices that keep the size of what they are given."""
    values = hashed(math.prod(shape), number).reshape(shape)
    if len(shape) == 1:
        return (0.4 * values + (1.0 if "norm" in name and name.endswith("weight") else 0.0)).float()
    return (values * 5 / math.sqrt(math.prod(shape[1:]))).float()


def clip(*size: int) -> Tensor:
    return (4 * hashed(math.prod(size), 1000)).reshape(size).float()


def fill(model: torch.nn.Module) -> None:
    named = [(name, weight) for name, weight in model.named_parameters() if name != "pos_embed"]
    with torch.no_grad():
        for number, (name, weight) in enumerate(named):
            weight.copy_(filled(weight.shape, name, number))


# (dim, heads, depth): of each clip the norm of the tokens, and entries (token, channel) of them.
KNOWN: dict[tuple[int, int, int], dict[tuple[int, int, int], tuple[float, dict[tuple[int, int], float]]]] = {
    (192, 3, 12): {
        (4, 48, 48): (
            60.7984504699707,
            {
                (0, 0): 0.7651175856590271,
                (6, 38): -1.0044188499450684,
                (9, 97): -0.7120850086212158,
                (16, 144): -1.1973167657852173,
                (17, 191): -1.2713782787322998,
            },
        ),
        (8, 32, 64): (
            81.28303527832031,
            {
                (0, 0): 0.8725867867469788,
                (10, 38): -0.04236799106001854,
                (16, 97): 0.7117896676063538,
                (30, 144): -1.1007499694824219,
                (31, 191): 0.044605836272239685,
            },
        ),
    },
    (1024, 16, 1): {
        (4, 48, 48): (
            137.03355407714844,
            {
                (0, 0): 0.5807035565376282,
                (6, 204): 0.1563456505537033,
                (9, 513): -1.6768451929092407,
                (16, 768): -0.9827182292938232,
                (17, 1023): -0.5655543208122253,
            },
        ),
        (8, 32, 64): (
            182.8294219970703,
            {
                (0, 0): 0.06456385552883148,
                (10, 204): 0.23757503926753998,
                (16, 513): -1.040989637374878,
                (30, 768): 1.1707874536514282,
                (31, 1023): 0.7177993059158325,
            },
        ),
    },
    (1280, 16, 1): {
        (4, 48, 48): (
            153.2346649169922,
            {
                (0, 0): 0.4325738251209259,
                (6, 256): -1.0498102903366089,
                (9, 641): -1.1088919639587402,
                (16, 960): -0.49495571851730347,
                (17, 1279): 0.0009703899268060923,
            },
        ),
        (8, 32, 64): (
            204.63658142089844,
            {
                (0, 0): -0.5331907272338867,
                (10, 256): 2.7891976833343506,
                (16, 641): 0.4667520523071289,
                (30, 960): 0.5573217272758484,
                (31, 1279): -0.816061794757843,
            },
        ),
    },
}


@pytest.mark.parametrize("sizes", KNOWN)
def test_tokens_are_those_of_the_published_implementation(sizes: tuple[int, int, int]) -> None:
    dim, heads, depth = sizes
    with torch.device("meta"):
        model = VisionTransformer(dim, depth, heads, frames=4, resolution=48)
    model = model.to_empty(device="cpu").eval().requires_grad_(False)
    fill(model)
    model.pos_embed.copy_(position_table(dim, model.grid))
    for size, (norm, entries) in KNOWN[sizes].items():
        with torch.inference_mode():
            tokens = model(clip(1, 3, *size))[0].flatten(0, 2)
        assert float(tokens.norm()) == pytest.approx(norm, rel=1e-5)
        scale = norm / math.sqrt(tokens.numel())
        for (token, channel), value in entries.items():
            assert float(tokens[token, channel]) == pytest.approx(value, abs=1e-5 * scale)
