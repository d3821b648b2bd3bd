"""The readout, whole and in pieces, against the plain form in double precision."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from distributed import products
from distributed import readout as module
from distributed.benchmark_probe import PlainClassifier
from distributed.prediction import pack_logits
from distributed.readout import (
    PreparedTokens,
    TokenStatistics,
    is_small,
    prepare,
    readout,
    standardise,
    token_statistics,
)
from search_spaces.attentive import AttentiveProbe


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


@pytest.fixture(params=["parts of a video", "whole videos"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 13 tokens for the tokens of `example`, so that 50 tokens take four, the last one shorter; or of all."""
    tokens = 13 if request.param == "parts of a video" else 2 * 50
    monkeypatch.setitem(module._PIECE_BYTES, "cpu", tokens * 12 * 5)


def example(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Tokens [3, 50, 24] with offsets and scales of their own, queries [5, 24] of which the last is zero."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(3, 50, 24, generator=generator) * torch.linspace(0.5, 5, 50)[:, None] + 2
    queries = torch.randn(5, 24, generator=generator)
    queries[4] = 0
    return tokens.to(dtype), queries


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("form", [prepare, in_pieces])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_readout_and_gradient_equal_the_plain_form(
    form: Callable[[Tensor], PreparedTokens], dtype: torch.dtype
) -> None:
    tokens, queries = example(dtype)
    mine, truth = queries.clone().requires_grad_(), queries.double().requires_grad_()
    result, expected = readout(form(tokens), mine), plain(tokens, truth)
    assert result.dtype == torch.float32 and result.shape == (3, 5, 24)
    weight = torch.randn(result.shape, generator=torch.Generator().manual_seed(1))
    (result * weight).sum().backward()  # type: ignore[no-untyped-call]
    (expected * weight.double()).sum().backward()  # type: ignore[no-untyped-call]
    assert mine.grad is not None and truth.grad is not None
    # Rounding to 8 bits meets few features and few tokens here, over which its errors would cancel.
    products_round = form is in_pieces and dtype == torch.bfloat16
    assert distance(result, expected) < (1e-2 if products_round else 1e-6)
    assert distance(mine.grad, truth.grad) < (1e-2 if products_round else 1e-6)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_that_were_kept_and_those_computed_again_are_the_same(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, queries = example(dtype)
    grads = []
    for share in (0, 100):
        monkeypatch.setattr(module, "_SHARE", share)
        mine = queries.clone().requires_grad_()
        readout(in_pieces(tokens), mine).square().sum().backward()  # type: ignore[no-untyped-call]
        assert mine.grad is not None
        grads.append(mine.grad)
    assert torch.equal(*grads)


@pytest.mark.parametrize("sharpness", [1, 30, 300])
def test_bfloat16_costs_a_probe_less_than_it_costs_the_plain_classifier(sharpness: int) -> None:
    """Logits and gradients of both against double precision, from tokens that share a large part."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, 1000, 96, generator=generator) * torch.linspace(0.5, 2, 1000)[:, None]
    tokens = (tokens + 4 * torch.randn(96, generator=generator)).to(torch.bfloat16)
    probe = AttentiveProbe(96, 8, heads=4, seed=0)
    with torch.no_grad():
        probe.pooler.query_tokens.mul_(sharpness)
    truth, coarse = (plain_classifier(probe).to(kind) for kind in (torch.float64, torch.bfloat16))
    mine = [pack_logits([probe], in_pieces(tokens))[0], probe.pooler.cross_attention_block.xattn.kv.weight]
    exact = [truth(tokens.double()), truth.kv.weight]
    rough = [coarse(tokens), coarse.kv.weight]
    for logits, _ in (mine, exact, rough):
        torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()  # type: ignore[no-untyped-call]
    assert distance(mine[0], exact[0]) < 0.2 * distance(rough[0], exact[0])
    assert distance(mine[1].grad, exact[1].grad) < distance(rough[1].grad, exact[1].grad)


def plain_classifier(probe: AttentiveProbe) -> PlainClassifier:
    """The same weights in the classifier that computes keys and values of every token."""
    names = {"query": "pooler.query_tokens", "mlp.0": "mlp.fc1", "mlp.2": "mlp.fc2"}
    weights = {
        key.split("cross_attention_block.")[-1].replace("xattn.", ""): w for key, w in probe.state_dict().items()
    }
    model = PlainClassifier(probe.linear.in_features, probe.pooler.cross_attention_block.xattn.heads)
    own = {}
    for key in model.state_dict():
        place = next((key.replace(mine, theirs) for mine, theirs in names.items() if key.startswith(mine)), key)
        own[key] = weights[place]
    model.load_state_dict(own)
    return model


def distance(mine: Tensor | None, truth: Tensor | None) -> float:
    """Of the whole, relative to the truth's norm."""
    assert mine is not None and truth is not None
    return float(((mine.double() - truth).norm() / truth.norm()).detach())


@pytest.mark.usefixtures("pieces")
def test_what_all_tokens_share_costs_no_accuracy() -> None:
    """Real tokens have large common components; neither they nor a mean of each token may swamp the rest."""
    tokens, queries = example()
    tokens = (tokens + 10 * torch.linspace(-1, 1, 24) + 20).to(torch.bfloat16)
    mine, truth = queries.clone().requires_grad_(), queries.double().requires_grad_()
    result, expected = readout(in_pieces(tokens), mine), plain(tokens, truth)
    assert distance(result, expected) < 3e-3
    result.square().sum().backward()  # type: ignore[no-untyped-call]
    expected.square().sum().backward()  # type: ignore[no-untyped-call]
    assert mine.grad is not None and truth.grad is not None
    assert distance(mine.grad, truth.grad) < 2e-2


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_products_as_on_a_gpu_take_tokens_as_they_lie_and_round_little(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16-bit operands, float32 sums and results; the slopes are too small for float16 unless they are scaled."""
    tokens, queries = example(dtype)
    tokens = (tokens.float() + 10 * torch.linspace(-1, 1, 24)).to(dtype)
    seen = []

    def product(first: Tensor, second: Tensor) -> Tensor:
        assert first.dtype == second.dtype == dtype
        seen.append(second.untyped_storage().data_ptr())
        return torch.bmm(first.float(), second.float())

    monkeypatch.setattr(products, "has_wide_products", lambda tokens: tokens.itemsize == 2)
    monkeypatch.setattr(products, "wide_product", product)
    mine, truth = queries.clone().requires_grad_(), queries.double().requires_grad_()
    result, expected = readout(in_pieces(tokens), mine), plain(tokens, truth)
    (1e-8 * result.square().sum()).backward()  # type: ignore[no-untyped-call]
    (1e-8 * expected.square().sum()).backward()  # type: ignore[no-untyped-call]
    assert set(seen) == {tokens.untyped_storage().data_ptr()}, "tokens were copied"
    bound = 2e-3 if dtype == torch.float16 else 2e-2
    assert distance(result, expected) < bound / 2 and distance(mine.grad, truth.grad) < bound


class Widest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers the largest float32 tensor that an operation gave, in elements."""

    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = func(*args, **(kwargs or {}))
        for each in given if isinstance(given, tuple | list) else [given]:
            if isinstance(each, Tensor) and each.dtype == torch.float32:
                self.largest = max(self.largest, each.numel())
        return given


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_gpu_makes_no_float32_copy_of_the_tokens(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the published sizes: tensors without values go through the operations and limits of a GPU."""
    monkeypatch.setattr(products, "has_wide_products", lambda tokens: tokens.itemsize == 2)
    for limits in (module._PIECE_BYTES, module._WHOLE_BYTES):
        monkeypatch.setitem(limits, "meta", limits["cuda"])
    tokens = torch.empty(2, 18_432, 1280, dtype=dtype, device="meta")
    queries = torch.empty(128, 1280, device="meta", requires_grad=True)
    with Widest() as widest:  # type: ignore[no-untyped-call]
        prepared = prepare(tokens)
        result = readout(prepared, queries)
        result.sum().backward()  # type: ignore[no-untyped-call]
    assert queries.grad is not None and result.dtype == queries.grad.dtype == torch.float32
    assert prepared.values is tokens and 0 < widest.largest < tokens.numel() / 8


def test_memory_beside_the_tokens_stays_below_15_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    """4,608 tokens, 64 rows and a quarter of a piece: all shares are those of 18,432 tokens and 256 rows."""
    monkeypatch.setitem(module._PIECE_BYTES, "cpu", module._PIECE_BYTES["cpu"] // 4)
    monkeypatch.setattr(products, "_SAMPLE", products._SAMPLE // 4)
    tokens = torch.randn(2, 4608, 1280).to(torch.bfloat16)
    queries = (0.02 * torch.randn(64, 1280)).requires_grad_()
    prepared = in_pieces(tokens)

    def step() -> None:
        readout(prepared, queries).sum().backward()  # type: ignore[no-untyped-call]

    assert 0 < peak_bytes(step) < 0.15 * tokens.numel() * 2


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("form", [prepare, in_pieces])
def test_gradcheck(form: Callable[[Tensor], PreparedTokens]) -> None:
    tokens, queries = example(torch.float64)
    prepared = form(tokens[:, :30, :6])
    start = queries[:3, :6].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: readout(prepared, rows), (start,), fast_mode=True, nondet_tol=1e-12)


def test_zero_row_is_mean_pooling() -> None:
    tokens, queries = example()
    torch.testing.assert_close(readout(tokens, queries)[:, 4], standardise(tokens).mean(dim=1))


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("form", [prepare, in_pieces])
def test_sharp_attention_picks_its_token_without_overflow(form: Callable[[Tensor], PreparedTokens]) -> None:
    tokens, _ = example()
    standard = standardise(tokens)
    result = readout(form(tokens), 1e4 * standard[0, [3, 47]])
    torch.testing.assert_close(result[0], standard[0, [3, 47]], rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("pieces")
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


def peak_bytes(work: Callable[[], None]) -> int:
    """The most memory that tensors made by `work` took at once."""
    with torch.autograd.profiler.profile(profile_memory=True) as profiler:
        work()
    assert profiler.kineto_results is not None
    changes = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    changes.sort(key=lambda event: event.start_ns())
    return int(max(itertools.accumulate(event.nbytes() for event in changes)))


def test_known_statistics_are_used_as_they_are() -> None:
    tokens = example(torch.bfloat16)[0].repeat(1, 20, 40)
    assert not is_small(tokens)
    statistics = token_statistics(tokens)
    assert prepare(tokens, statistics).statistics is statistics
    halved = TokenStatistics(statistics.mean, statistics.rstd / 2)
    rows = torch.zeros(1, tokens.shape[-1])
    torch.testing.assert_close(readout(prepare(tokens, halved), rows), readout(tokens, rows) / 2)


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
