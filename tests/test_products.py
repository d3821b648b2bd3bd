"""Products of rows and tokens: what tokens share costs them no digits, in bfloat16 as in any other type."""

import pytest
import torch
from torch import Tensor

from distributed import products
from distributed.products import Rows, common_part, mixture, narrowed, operand


@pytest.fixture(autouse=True)
def fast_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of bfloat16 are rounded to it, whatever this machine's CPU would do."""
    monkeypatch.setattr(products, "has_fast_bfloat16", lambda: True)


def example() -> tuple[Tensor, Tensor]:
    """bfloat16 tokens [2, 40, 64] with a large part in common, float32 rows [3, 64]."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, 40, 64, generator=generator) + 30 * torch.randn(64, generator=generator)
    return tokens.to(torch.bfloat16), torch.randn(3, 64, generator=generator)


def centred(rows: Tensor) -> Tensor:
    return rows.double() - rows.double().mean(dim=-1, keepdim=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_rows_meet_what_tokens_do_not_share(dtype: torch.dtype) -> None:
    tokens, rows = example()
    tokens = tokens.to(dtype)
    rstd = torch.linspace(0.5, 2, 80).view(2, 1, 40)
    truth = torch.einsum("rd,bnd->brn", centred(rows), tokens.double()) * rstd
    mine = Rows.of(rows, common_part(tokens)).on(tokens, rstd)
    assert mine.dtype == torch.float32 and mine.is_contiguous()
    spread = (truth / rstd - (truth / rstd).mean(dim=-1, keepdim=True)).abs().max()
    assert (mine - truth).abs().max() < (2**-6 * spread if dtype == torch.bfloat16 else 2**-19 * truth.abs().max())
    plain = torch.matmul(rows.to(dtype), tokens.transpose(1, 2)) * rstd
    assert dtype == torch.float32 or (plain - truth).abs().max() > 5 * (mine - truth).abs().max()


def test_rows_of_each_video_meet_that_video_alone() -> None:
    tokens, rows = example()
    common, rstd = common_part(tokens), torch.ones(2, 1, 40)
    each = torch.stack([rows, rows.flip(0)])
    expected = [Rows.of(own, common).on(video[None], rstd[:1]) for own, video in zip(each, tokens, strict=True)]
    torch.testing.assert_close(Rows.of(each, common).on(tokens, rstd), torch.cat(expected), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_mixture_rounds_what_tokens_do_not_share(dtype: torch.dtype) -> None:
    tokens, _ = example()
    tokens, weights = tokens.to(dtype), torch.rand(2, 3, 40, generator=torch.Generator().manual_seed(1)).to(dtype)
    truth = torch.bmm(weights.double(), tokens.double())
    common, sums = common_part(tokens), weights.float().sum(dim=-1, keepdim=True)
    mine = mixture(weights, tokens, common, sums)
    rest = (truth - sums * common).abs().max()
    assert (mine - truth).abs().max() < (2**-8 * rest if dtype == torch.bfloat16 else 2**-19 * truth.abs().max())
    assert dtype == torch.float32 or (torch.bmm(weights, tokens) - truth).abs().max() > 5 * (mine - truth).abs().max()


@pytest.mark.parametrize("count", [40, 14, 6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_cut_along_the_tokens_are_those_of_the_whole(
    count: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 tokens are six parts of 6 and a rest of 4, 14 leave none, 6 are too few to be cut."""
    monkeypatch.setattr(products, "_PART", 7)
    tokens, rows = example()
    tokens = tokens[:, :count].to(dtype)
    weights = torch.rand(2, 3, count, generator=torch.Generator().manual_seed(1)).to(dtype)
    each, rstd = torch.stack([rows, rows.flip(0)]).to(dtype), torch.linspace(0.5, 2, 2 * count).view(2, 1, count)
    common, sums = common_part(tokens), weights.sum(dim=-1, keepdim=True)
    for own in (each, each[0]):
        truth = torch.matmul(centred(own), tokens.double().transpose(1, 2)) * rstd
        mine = Rows.of(own, common).on(tokens, rstd)
        assert mine.dtype == dtype and mine.is_contiguous()
        assert (mine - truth).abs().max() < 2**-19 * truth.abs().max()
    mixed = mixture(weights, tokens, common, sums)
    torch.testing.assert_close(mixed.double(), torch.bmm(weights.double(), tokens.double()), rtol=1e-5, atol=1e-4)


def test_the_common_part_is_that_of_the_batch() -> None:
    tokens, _ = example()
    torch.testing.assert_close(common_part(tokens).float(), tokens.float().mean(dim=(0, 1)), rtol=2**-8, atol=1e-2)
    long = tokens.repeat(1, 100, 1)
    torch.testing.assert_close(common_part(long).float(), common_part(tokens).float(), rtol=0.1, atol=0.5)


@pytest.mark.parametrize(("fast", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_bfloat16_is_widened_only_where_it_would_be_slow(
    fast: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "has_fast_bfloat16", lambda: fast)
    tokens, _ = example()
    assert operand(tokens).dtype == dtype
    assert (operand(tokens) is tokens) == fast
    assert operand(tokens.to(torch.float16)).dtype == torch.float32
    assert operand(tokens.double()).dtype == torch.float64


@pytest.fixture(params=[torch.bfloat16, torch.float16])
def wide(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.dtype:
    """Products as a GPU computes them: 16-bit operands, float32 sums and results."""
    monkeypatch.setattr(products, "has_wide_products", lambda tokens: tokens.itemsize == 2)
    monkeypatch.setattr(products, "wide_product", lambda first, second: torch.bmm(first.float(), second.float()))
    dtype: torch.dtype = request.param
    return dtype


def test_with_float32_results_only_the_rows_are_rounded(wide: torch.dtype) -> None:
    tokens, rows = example()
    tokens, rows, rstd = tokens.to(wide), 1e-7 * rows, torch.linspace(0.5, 2, 80).view(2, 1, 40)
    truth = torch.einsum("rd,bnd->brn", centred(rows), tokens.double()) * rstd
    mine = Rows.of(rows, common_part(tokens)).on(tokens, rstd)
    assert mine.dtype == torch.float32 and mine.is_contiguous()
    rest = (truth / rstd - (truth / rstd).mean(dim=-1, keepdim=True)).abs().max()
    assert (mine - truth).abs().max() < (2**-7 if wide == torch.bfloat16 else 2**-10) * rest
    each = Rows.of(torch.stack([rows, rows]), common_part(tokens)).on(tokens, rstd)
    torch.testing.assert_close(each, mine, rtol=1e-5, atol=0)
    weights = torch.rand(2, 3, 40).to(wide)
    mixed = mixture(weights, tokens, common_part(tokens), weights.float().sum(dim=-1, keepdim=True))
    torch.testing.assert_close(mixed.double(), torch.bmm(weights.double(), tokens.double()), rtol=1e-5, atol=1e-3)


def test_small_numbers_keep_their_digits_in_float16() -> None:
    values = torch.tensor([[1e-9, -3e-9, 2.5e-9], [0.0, 0.0, 0.0], [4e6, 1.0, torch.nan]])
    narrow, factor = narrowed(values, torch.float16)
    assert narrow.dtype == torch.float16 and factor.shape == (3, 1)
    torch.testing.assert_close(narrow[:2] * factor[:2], values[:2], rtol=2**-11, atol=0)
    assert narrow[2].isnan().all(), "what is broken stays so"
    same, ones = narrowed(values[:2], torch.bfloat16)
    assert torch.equal(same, values[:2].to(torch.bfloat16)) and bool((ones == 1).all())
