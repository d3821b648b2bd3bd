"""Clips through an encoder a few at a time, and tokens that must not be used. Embedding and prediction share it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import torch
from torch import Tensor, nn

from distributed.encoders import Encoder
from distributed.errors import UserError

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
CLIPS_IN_PASS = 16  # where nothing was measured: of a large encoder, enough to keep any device busy


def encode_clips(
    encoder: Encoder, clips: Tensor, clips_per_batch: int, on_smaller: Callable[[int], None] | None = None
) -> Tensor:
    """Tokens float32[B, t, h, w, D] of clips float[B, 3, T, R, R], `clips_per_batch` of them in a pass.

    Where the device's memory does not hold a pass, it is halved and the work goes on; `on_smaller` is told the size
    of such passes.

    Raises:
        UserError: the memory does not hold one clip.
    """
    found, start, size = [], 0, clips_per_batch
    while start < len(clips):
        tokens = _one_pass(encoder, clips[start : start + size])
        if tokens is None:
            size = min(size, len(clips) - start) // 2
            if on_smaller is not None:
                on_smaller(size)
        else:
            found.append(tokens)
            start += size
    return found[0] if len(found) == 1 else torch.cat(found)


def _one_pass(encoder: Encoder, clips: Tensor) -> Tensor | None:
    """The tokens of a pass, or None where memory does not hold it."""
    try:
        return encoder(clips)
    except torch.OutOfMemoryError as error:
        if len(clips) == 1:
            raise UserError(
                f"encoder {encoder.spec.name}: {encoder.device} has too little memory for a single clip "
                f"({str(error).splitlines()[0]}); stop what else uses it, take a larger one, or lower "
                "embedding.encoders or the encoders on a GPU (a larger embedding.encoder_gpus)"
            ) from error
    # Out here nothing holds what the failed pass had made, so that it can be given back.
    if encoder.device.type == "cuda":
        torch.cuda.empty_cache()
    return None


def fitting_pass(encoder: Encoder, most: int, frames: int) -> int:
    """How many clips of so many frames, at most `most`, the device's memory holds: tried, and halved until it does."""
    spec, found = encoder.spec, [most]
    shape = (most, 3, frames, spec.resolution, spec.resolution)
    encode_clips(encoder, torch.zeros(shape, device=encoder.device), most, found.append)
    return found[-1]


def regroup(groups: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """The same rows in the same order, `size` of them at a time; the last group may be smaller."""
    held: list[Tensor] = []
    count = 0
    for group in groups:
        held.append(group)
        count += len(group)
        while count >= size:
            joined = held[0] if len(held) == 1 else torch.cat(held)
            yield joined[:size]
            count -= size
            held = [joined[size:]] if count else []
    if count:
        yield torch.cat(held)


class _Compiled(Encoder):
    """An encoder whose passes of one size are compiled; those of other sizes take the plain road."""

    def __init__(self, plain: Encoder, size: int) -> None:
        super().__init__(plain.spec, cast(nn.Module, torch.compile(plain.module, dynamic=False)), plain.device)
        self._plain = plain
        self._size = size

    def __call__(self, clips: Tensor) -> Tensor:
        return super().__call__(clips) if len(clips) == self._size else self._plain(clips)


def compiled(encoder: Encoder, clips_per_batch: int, frames: int) -> Encoder:
    """The encoder with its passes of so many clips compiled by torch, or itself, with a warning, where that fails."""
    spec = encoder.spec
    faster = _Compiled(encoder, clips_per_batch)
    clips = torch.zeros(clips_per_batch, 3, frames, spec.resolution, spec.resolution, device=encoder.device)
    try:
        faster(clips)
    except (RuntimeError, ImportError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        warnings.warn(f"torch.compile failed ({reason}), so the encoder runs without it", stacklevel=2)
        return encoder
    return faster


def extremes(tokens: Tensor) -> Tensor:
    """float32[2] on the tokens' device: 1 where all are finite, and the largest absolute value. Waits for nothing."""
    return torch.stack([torch.isfinite(tokens).all().float(), tokens.abs().max().float()])


def unusable(tokens: Tensor, dtype: str) -> str:
    """Why tokens must not be kept as the 16-bit `dtype`, or nothing."""
    return unusable_range(extremes(tokens), dtype)


def unusable_range(found: Tensor, dtype: str) -> str:
    """`unusable` of tokens whose `extremes` were found."""
    finite, largest = found.tolist()
    if not finite:
        return "the encoder gave tokens that are not finite; check the weights and encoder.dtype"
    if largest > torch.finfo(DTYPES[dtype]).max:
        return f"a token of {largest:.3g} does not fit {dtype}; set tokens.dtype to bfloat16"
    return ""
