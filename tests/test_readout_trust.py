"""Who reads the tokens: the environment's word, the tokens' own shape, and what happens where nothing can compile."""

import warnings
from collections.abc import Iterator

import pytest
import torch

from distributed import readout_programs, readout_trust
from distributed.errors import UserError
from distributed.readout import PreparedTokens, readout, token_statistics, uses_programs
from distributed.readout_trust import VARIABLE, disagreement, forced, is_trusted

TOKENS = torch.randn(2, 30, 16).to(torch.bfloat16)
QUERIES = torch.randn(3, 16)


def reference(tokens: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    x = torch.nn.functional.layer_norm(tokens.float(), tokens.shape[-1:])
    return (queries @ x.transpose(1, 2)).softmax(dim=-1) @ x


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(readout_trust, "_fits", lambda tokens: True)
    monkeypatch.setattr(readout_trust, "_compiles", lambda device: True)
    agrees = readout_trust._agrees
    agrees.cache_clear()
    yield
    agrees.cache_clear()


def test_a_cpu_is_left_to_torch_and_nothing_is_said() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not is_trusted(TOKENS, QUERIES, reference)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_without_triton_torch_reads_and_that_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readout_programs, "HAS_TRITON", False)
    prepared = PreparedTokens(TOKENS, token_statistics(TOKENS))
    with pytest.warns(UserWarning, match="torch alone reads bfloat16 tokens of 16 .*: triton is not installed") as said:
        first, second = readout(prepared, QUERIES), readout(prepared, QUERIES)
    assert len(said) == 1 and torch.equal(first, second)
    torch.testing.assert_close(first, reference(TOKENS, QUERIES), rtol=0.05, atol=0.02)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_wrong_gradient_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_out(tokens: torch.Tensor, mean: torch.Tensor, rstd: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
        return reference(tokens, queries.detach() + 0.95 * (queries - queries.detach()))

    monkeypatch.setattr(readout_trust, "read_out", read_out)
    said = disagreement(TOKENS.device, TOKENS.dtype, 16, 16, reference)
    assert said is not None and said.startswith("its gradient is 5.0e-02 of its norm from torch's")
    monkeypatch.setattr(readout_trust, "read_out", lambda tokens, mean, rstd, queries: reference(tokens, queries))
    for rows in (16, 64, 128):
        assert disagreement(TOKENS.device, TOKENS.dtype, 16, rows, reference) is None


@pytest.mark.usefixtures("as_on_a_gpu")
def test_the_environment_may_ask_for_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readout_trust, "_agrees", lambda *kind: True)
    assert is_trusted(TOKENS, QUERIES, reference)
    with monkeypatch.context() as old_gpu:
        old_gpu.setattr(readout_trust, "_compiles", lambda device: False)
        assert not is_trusted(TOKENS, QUERIES, reference)
    assert not is_trusted(TOKENS, QUERIES.double(), reference), "queries of another type"
    with forced("torch"):
        assert not is_trusted(TOKENS, QUERIES, reference)
    monkeypatch.setenv(VARIABLE, "torch")
    assert not is_trusted(TOKENS, QUERIES, reference)
    with forced("auto"):
        assert is_trusted(TOKENS, QUERIES, reference)
    monkeypatch.setenv(VARIABLE, "fast")
    with pytest.raises(UserError, match="FERSWEEP_READOUT=fast .* auto, torch"):
        is_trusted(TOKENS, QUERIES, reference)


def test_what_the_programs_cannot_take_is_torchs() -> None:
    """Said of tensors on a GPU, of which these have but the name."""

    class Elsewhere:
        def __init__(self, tokens: torch.Tensor) -> None:
            self.tokens = tokens
            self.device = torch.device("cuda", 0)

        def __getattr__(self, name: str) -> object:
            return getattr(self.tokens, name)

    def fits(tokens: torch.Tensor) -> bool:
        return readout_trust._fits(Elsewhere(tokens))  # type: ignore[arg-type]

    assert fits(TOKENS) and fits(TOKENS.half())
    assert not fits(TOKENS[:, :0]) and not fits(torch.zeros(70_000, 1, 8, dtype=torch.bfloat16))
    assert not fits(TOKENS.float()) and not fits(TOKENS.double())
    assert not fits(TOKENS[:, ::2]) and not fits(TOKENS.flatten()[3:].view(-1)[:480].view(1, 30, 16))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rows", [16, 256])
def test_on_a_gpu_the_programs_are_trusted_and_agree_at_the_published_size(dtype: torch.dtype, rows: int) -> None:
    generator = torch.Generator("cuda").manual_seed(0)
    tokens = torch.randn(2, 18_432, 1280, generator=generator, device="cuda")
    tokens = (tokens + 2 * torch.randn(1280, generator=generator, device="cuda")).to(dtype)
    prepared, found = PreparedTokens(tokens, token_statistics(tokens)), []
    start = 0.05 * torch.randn(rows, 1280, generator=generator, device="cuda")
    for choice in ("auto", "torch"):
        queries = start.clone().requires_grad_()
        with forced(choice):
            assert uses_programs(prepared, queries) == (choice == "auto")
            result = readout(prepared, queries)
        result.square().sum().backward()  # type: ignore[no-untyped-call]
        assert queries.grad is not None
        found.append((result.detach(), queries.grad))
    for mine, torchs in zip(*found, strict=True):
        assert (mine - torchs).norm() < 1e-2 * torchs.norm()
