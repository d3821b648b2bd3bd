"""The readout, whole and in pieces, against the plain form in double precision."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from distributed import readout as module
from distributed.readout import PreparedTokens, prepare, readout, standardise, token_statistics


def plain(tokens: Tensor, queries: Tensor) -> Tensor:
    """The definition, in double precision."""
    x = tokens.double()
    centred = x - x.mean(dim=-1, keepdim=True)
    x = centred / (centred.pow(2).mean(dim=-1, keepdim=True) + 1e-5).sqrt()
    logits = torch.einsum("rd,bnd->brn", queries.double(), x)
    weights = (logits - logits.amax(dim=-1, keepdim=True)).exp()
    return torch.einsum("brn,bnd->brd", weights / weights.sum(dim=-1, keepdim=True), x)


def in_pieces(tokens: Tensor) -> PreparedTokens:
    return PreparedTokens(tokens, token_statistics(tokens))


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 13 tokens for the tokens of `example`, so that 50 tokens take four, the last one shorter."""
    monkeypatch.setitem(module._PIECE_BYTES, "cpu", 13 * 3 * 24 * 4)


def example(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Tokens [3, 50, 24] with offsets and scales of their own, queries [5, 24] of which the last is zero."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(3, 50, 24, generator=generator) * torch.linspace(0.5, 5, 50)[:, None] + 2
    queries = torch.randn(5, 24, generator=generator)
    queries[4] = 0
    return tokens.to(dtype), queries


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("form", [prepare, in_pieces])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_readout_and_gradient_equal_the_plain_form(
    form: Callable[[Tensor], PreparedTokens], dtype: torch.dtype
) -> None:
    tokens, queries = example(dtype)
    mine, truth = queries.clone().requires_grad_(), queries.double().requires_grad_()
    result, expected = readout(form(tokens), mine), plain(tokens, truth)
    assert result.dtype == torch.float32 and result.shape == (3, 5, 24)
    torch.testing.assert_close(result.double(), expected, rtol=1e-5, atol=1e-5)
    weight = torch.randn(result.shape, generator=torch.Generator().manual_seed(1))
    (result * weight).sum().backward()  # type: ignore[no-untyped-call]
    (expected * weight.double()).sum().backward()  # type: ignore[no-untyped-call]
    assert mine.grad is not None and truth.grad is not None
    torch.testing.assert_close(mine.grad.double(), truth.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("form", [prepare, in_pieces])
def test_gradcheck(form: Callable[[Tensor], PreparedTokens]) -> None:
    tokens, queries = example(torch.float64)
    prepared = form(tokens[:, :30, :6])
    start = queries[:3, :6].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: readout(prepared, rows), (start,), fast_mode=True)


def test_zero_row_is_mean_pooling() -> None:
    tokens, queries = example()
    torch.testing.assert_close(readout(tokens, queries)[:, 4], standardise(tokens).mean(dim=1))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("form", [prepare, in_pieces])
def test_sharp_attention_picks_its_token_without_overflow(form: Callable[[Tensor], PreparedTokens]) -> None:
    tokens, _ = example()
    standard = standardise(tokens)
    result = readout(form(tokens), 1e4 * standard[0, [3, 47]])
    torch.testing.assert_close(result[0], standard[0, [3, 47]], rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("form", [prepare, in_pieces])
def test_a_broken_query_spoils_no_other(form: Callable[[Tensor], PreparedTokens]) -> None:
    tokens, queries = example()
    queries[1] = torch.nan
    rows = queries.clone().requires_grad_()
    result = readout(form(tokens), rows)
    result.sum().backward()  # type: ignore[no-untyped-call]
    assert rows.grad is not None
    for values in (result.detach().transpose(0, 1), rows.grad):
        assert values.isfinite().flatten(1).all(dim=1).tolist() == [True, False, True, True, True]


@pytest.mark.parametrize("form", [prepare, in_pieces])
def test_part_of_a_batch_is_that_part_alone(form: Callable[[Tensor], PreparedTokens]) -> None:
    tokens, queries = example()
    part = form(tokens).rows(1, 3)
    assert len(part) == 2
    torch.testing.assert_close(readout(part, queries), readout(tokens[1:3], queries))


def test_large_batches_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, _ = example(torch.float16)
    assert prepare(tokens).values.dtype == torch.float32
    monkeypatch.setitem(module._WHOLE_BYTES, "cpu", 100)
    assert prepare(tokens).values is tokens


def test_statistics_are_those_of_a_layer_norm() -> None:
    tokens, _ = example(torch.bfloat16)
    statistics = token_statistics(tokens)
    expected = torch.nn.functional.layer_norm(tokens.float(), (24,), eps=1e-5)
    mine = (tokens.float() - statistics.mean[..., None]) * statistics.rstd[..., None]
    torch.testing.assert_close(mine, expected)
