"""An encoder's passes give every clip once and in order, and tokens that no store may hold are named."""

from __future__ import annotations

from pathlib import Path

import torch

from distributed.encoders import EncoderConfig, load_encoder
from distributed.encoding import encode_clips, unusable
from tests.small_road import write_encoder


def test_passes_of_any_size_give_the_same_tokens_in_order(tmp_path: Path) -> None:
    encoder = load_encoder(EncoderConfig(weights=str(write_encoder(tmp_path / "tiny.safetensors"))))
    spec = encoder.spec
    clips = torch.randn(5, 3, spec.frames, spec.resolution, spec.resolution, generator=torch.Generator().manual_seed(0))
    whole = encode_clips(encoder, clips, 8)
    assert whole.shape == (5, *spec.grid, spec.dim)
    torch.testing.assert_close(encode_clips(encoder, clips, 2), whole, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(encode_clips(encoder, clips.flip(0), 2).flip(0), whole, rtol=1e-4, atol=1e-4)


def test_tokens_that_must_not_be_kept_are_named() -> None:
    tokens = torch.tensor([1.0, 65504.0])
    assert unusable(tokens, "float16") == "" and unusable(tokens, "bfloat16") == ""
    assert unusable(tokens * 2, "float16").startswith("a token of 1.31e+05 does not fit float16; set tokens.dtype")
    assert unusable(tokens * 2, "bfloat16") == ""
    for bad in (float("nan"), float("inf")):
        assert "not finite" in unusable(torch.tensor([0.0, bad]), "bfloat16")
