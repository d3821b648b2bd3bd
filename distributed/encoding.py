"""Clips through an encoder a few at a time, and tokens that must not be used. Embedding and prediction share it."""

from __future__ import annotations

import torch
from torch import Tensor

from distributed.encoders import Encoder

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def encode_clips(encoder: Encoder, clips: Tensor, clips_per_batch: int) -> Tensor:
    """Tokens float32[B, t, h, w, D] of clips float[B, 3, T, R, R], `clips_per_batch` of them in a pass."""
    passes = [encoder(clips[start : start + clips_per_batch]) for start in range(0, len(clips), clips_per_batch)]
    return torch.cat(passes)


def unusable(tokens: Tensor, dtype: str) -> str:
    """Why tokens must not be kept as the 16-bit `dtype`, or nothing."""
    if not torch.isfinite(tokens).all():
        return "the encoder gave tokens that are not finite; check the weights and encoder.dtype"
    largest = float(tokens.abs().max())
    if largest > torch.finfo(DTYPES[dtype]).max:
        return f"a token of {largest:.3g} does not fit {dtype}; set tokens.dtype to bfloat16"
    return ""
