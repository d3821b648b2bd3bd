"""An encoder's passes give every clip once and in order, and tokens that no store may hold are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from distributed.encoders import Encoder, EncoderConfig, load_encoder
from distributed.encoding import compiled, encode_clips, fitting_pass, regroup, unusable
from distributed.errors import UserError
from tests.small_road import write_encoder


def tiny(folder: Path) -> Encoder:
    return load_encoder(EncoderConfig(weights=str(write_encoder(folder / "tiny.safetensors"))))


class Small(Encoder):
    """An encoder whose memory holds no more than `most` clips."""

    def __init__(self, encoder: Encoder, most: int) -> None:
        super().__init__(encoder.spec, encoder.module, encoder.device)
        self.most = most

    def __call__(self, clips: torch.Tensor) -> torch.Tensor:
        if len(clips) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")
        return super().__call__(clips)


def test_passes_of_any_size_give_the_same_tokens_in_order(tmp_path: Path) -> None:
    encoder = tiny(tmp_path)
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


def test_memory_that_runs_out_halves_the_pass_and_the_tokens_stay(tmp_path: Path) -> None:
    encoder = tiny(tmp_path)
    clips = torch.randn(13, 3, 16, 32, 32, generator=torch.Generator().manual_seed(0))
    told: list[int] = []
    found = encode_clips(Small(encoder, 3), clips, 13, told.append)
    assert told == [6, 3]
    torch.testing.assert_close(found, encode_clips(encoder, clips, 13), rtol=1e-4, atol=1e-4)
    assert fitting_pass(Small(encoder, 3), 13, 16) == 3 and fitting_pass(encoder, 13, 16) == 13
    with pytest.raises(UserError, match=r"encoder tiny: cpu has too little memory for a single clip \(CUDA out of mem"):
        encode_clips(Small(encoder, 0), clips, 13)


def test_regrouped_rows_are_the_same_in_the_same_order() -> None:
    rows = torch.arange(23)
    for sizes in ([23], [1] * 23, [5, 10, 8]):
        groups = list(regroup(torch.split(rows, sizes), 7))
        assert [len(group) for group in groups] == [7, 7, 7, 2]
        assert torch.cat(groups).equal(rows)
    assert list(regroup([], 7)) == []


def test_a_compilation_that_fails_is_a_warning_and_never_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a backend of torch.compile that breaks, as one does where there is no C compiler."""
    encoder = tiny(tmp_path)
    clips = torch.randn(4, 3, 16, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = encoder(clips)
    compile_with = torch.compile

    def broken(graph: torch.fx.GraphModule, _: object) -> Any:
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(torch, "compile", lambda module, **_: compile_with(module, backend=broken))
    with pytest.warns(UserWarning, match="torch.compile failed"):
        assert compiled(encoder, 4, 16) is encoder

    monkeypatch.setattr(torch, "compile", lambda module, **_: compile_with(module, backend="eager"))
    faster = compiled(encoder, 4, 16)
    assert faster is not encoder
    torch.testing.assert_close(faster(clips), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(faster(clips[:3]), expected[:3], rtol=1e-4, atol=1e-4)
