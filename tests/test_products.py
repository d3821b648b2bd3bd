"""Products of rows and tokens: close to float32's accuracy from bfloat16, exact in any other type."""

import pytest
import torch
from torch import Tensor

from distributed import products
from distributed.products import dots, exact_rows, mixture, operand, rounded


def example() -> tuple[Tensor, Tensor]:
    """bfloat16 tokens [2, 40, 64] with a common part, float32 rows [3, 64]."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, 40, 64, generator=generator) + 3 * torch.randn(64, generator=generator)
    return tokens.to(torch.bfloat16), torch.randn(3, 64, generator=generator)


def test_dots_hold_twice_the_digits_of_bfloat16() -> None:
    tokens, rows = example()
    truth = torch.einsum("rd,bnd->brn", rows.double(), tokens.double())
    plain = torch.matmul(rows.to(torch.bfloat16), tokens.transpose(1, 2))
    mine = dots(tokens, exact_rows(rows, torch.bfloat16))
    assert mine.dtype == torch.float32 and mine.is_contiguous()
    assert (mine - truth).abs().max() < 2**-15 * truth.abs().max() < (plain - truth).abs().max()


def test_rows_of_each_video_meet_that_video_alone() -> None:
    tokens, rows = example()
    each = torch.stack([rows, rows.flip(0)]).to(torch.bfloat16)
    expected = torch.cat([dots(tokens[:1], (each[0],)), dots(tokens[1:], (each[1],))])
    assert torch.equal(dots(tokens, (each,)), expected)
    wide = dots(tokens.float(), (each.float(),))
    torch.testing.assert_close(dots(tokens, (each,)), wide, rtol=2**-8, atol=2**-8)


def test_mixture_adds_without_rounding_the_sum() -> None:
    tokens, _ = example()
    weights = rounded(torch.rand(2, 3, 40, generator=torch.Generator().manual_seed(1)), tokens)
    truth = torch.bmm(weights.double(), tokens.double())
    sums = torch.ones(2, 3, 64)
    mixture(weights, tokens, onto=sums, exact=True)
    assert (
        (sums - 1 - truth).abs().max() < 2**-15 * truth.abs().max() < (torch.bmm(weights, tokens) - truth).abs().max()
    )
    wide = torch.zeros(2, 3, 64)
    mixture(weights.float(), tokens.float(), onto=wide, exact=True)
    torch.testing.assert_close(wide.double(), truth, rtol=1e-5, atol=1e-4)


def test_rows_are_split_without_a_rest_worth_naming() -> None:
    _, rows = example()
    main, rest = exact_rows(rows, torch.bfloat16)
    assert main.dtype == rest.dtype == torch.bfloat16
    assert ((main.double() + rest.double() - rows).abs() <= 2**-16 * rows.abs()).all()
    (same,) = exact_rows(rows, torch.float32)
    assert torch.equal(same, rows)


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
