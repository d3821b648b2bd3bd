"""What is kept between epochs changes nothing of what is read."""

import numpy as np
import pytest
import torch

from distributed import prepared_source as module
from distributed import readout as readout_module
from distributed.prepared_source import PreparedSource
from distributed.readout import readout, token_statistics
from distributed.token_source import TensorTokens

ROWS = np.array([7, 2, 3, 5])
CPU = torch.device("cpu")


def source() -> TensorTokens:
    generator = torch.Generator().manual_seed(0)
    return TensorTokens(torch.randn(9, 3, 20, 16, generator=generator).to(torch.float16), seed=1)


@pytest.mark.parametrize("budget", [0, 10**6])
@pytest.mark.parametrize("kept", ["all", "statistics", "statistics of small batches", "nothing"])
def test_batches_read_as_from_the_source_itself(kept: str, budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if kept != "all":
        monkeypatch.setattr(module, "_KEPT_BYTES", 0)
    if kept == "statistics":
        monkeypatch.setitem(readout_module._WHOLE_BYTES, "cpu", 0)
    if kept == "nothing":
        monkeypatch.setattr(module, "_STATISTICS_BYTES", 0)
    tokens, queries = source(), torch.randn(3, 16)
    prepared = PreparedSource(tokens, np.array([2, 3, 5, 7, 8]), CPU, budget=budget)
    parts = [ROWS[:3], ROWS[3:]]
    for epoch in (1, 2, 1, 3):
        mine = torch.cat([readout(batch, queries) for batch in prepared.gather(parts, epoch)])
        torch.testing.assert_close(mine, readout(tokens.gather(ROWS, epoch), queries))
    for _ in range(2):
        given = [(len(views), count, readout(views, queries)) for views, count in prepared.evaluation_views(parts)]
        assert [(length, count) for length, count, _ in given] == [(9, 3), (3, 3)]
        expected = readout(tokens.evaluation_views(ROWS).flatten(0, 1), queries)
        torch.testing.assert_close(torch.cat([read for *_, read in given]), expected)


@pytest.mark.parametrize("kept", [True, False])
def test_views_to_train_on_are_those_that_an_epoch_may_draw(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not kept:
        monkeypatch.setattr(module, "_KEPT_BYTES", 0)
    values = torch.randn(9, 4, 20, 16, generator=torch.Generator().manual_seed(0))
    queries = torch.randn(3, 16)
    for take, numbers in (("all", [0, 1, 2, 3]), ("augmented", [2, 3]), ("clean", [0, 1])):
        tokens = TensorTokens(values, passes=2, take=take)  # type: ignore[arg-type]
        ((views, count),) = PreparedSource(tokens, ROWS, CPU).training_views([ROWS])
        assert count == len(numbers)
        expected = readout(values[ROWS][:, numbers].flatten(0, 1), queries)
        torch.testing.assert_close(readout(views, queries), expected)


@pytest.mark.parametrize("small", [True, False])
def test_statistics_are_computed_once_per_view(small: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT_BYTES", 0)
    if not small:
        monkeypatch.setitem(readout_module._WHOLE_BYTES, "cpu", 0)
    calls = []

    def counted(tokens: torch.Tensor) -> object:
        calls.append(len(tokens))
        return token_statistics(tokens)

    for place in (module, readout_module):
        monkeypatch.setattr(place, "token_statistics", counted)
    prepared = PreparedSource(source(), np.arange(9), CPU)
    list(prepared.evaluation_views([ROWS]))
    assert calls == [12]
    for epoch in range(1, 5):  # whatever views these take, all of them are known
        list(prepared.gather([ROWS[:3]], epoch))
    list(prepared.evaluation_views([ROWS[1:]]))
    assert calls == [12]
    list(prepared.gather([np.array([0, 7])], 1))
    assert calls == [12, 2]
