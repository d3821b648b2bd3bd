"""The benchmark: both sides compute the same, and its figures follow from each other."""

from typing import Any

import pytest
import torch

from distributed import benchmark_probe, readout_trust
from distributed.benchmark_probe import CLASSES, BenchmarkSettings, PlainClassifier, measure
from distributed.readout import readout
from search_spaces.attentive import load_published

SMALL: dict[str, Any] = {"tokens": 60, "dim": 32, "heads": 4, "packs": (1, 3), "rounds": 1, "threads": 1}


def test_the_plain_side_is_the_same_classifier() -> None:
    plain, block = PlainClassifier(32, 4), "pooler.cross_attention_block."
    torch.nn.init.normal_(plain.query)
    names = {"query": "pooler.query_tokens", "linear": "linear", "mlp.0": block + "mlp.fc1", "mlp.2": block + "mlp.fc2"}
    names |= {name: block + name for name in ("norm1", "norm2")}
    names |= {name: f"{block}xattn.{name}" for name in ("q", "kv", "proj")}
    state = {}
    for name, value in plain.state_dict().items():
        layer, _, kind = name.rpartition(".")
        state[f"{names[layer]}.{kind}" if layer else names[name]] = value
    probe, tokens = load_published(state, heads=4), torch.randn(2, 60, 32)
    mine = probe.classify(readout(tokens, probe.queries()))
    assert mine.shape == (2, CLASSES)
    torch.testing.assert_close(mine, plain(tokens), rtol=1e-4, atol=1e-5)


def test_figures_follow_from_each_other() -> None:
    threads = torch.get_num_threads()
    rounds: list[int] = []
    result = measure(BenchmarkSettings(**SMALL), rounds.append)
    assert rounds == [1] and torch.get_num_threads() == threads
    assert result.token_bytes == 2 * 60 * 32 * 2
    assert [side.name for side in result.sides] == ["plain", "pack of 1", "pack of 3"]
    plain, *packs = result.sides
    assert plain.ratio == plain.attention_ratio == 1
    for size, pack in zip((1, 3), packs, strict=True):
        assert pack.ratio == pytest.approx(plain.step / pack.step)
        assert pack.rate == pytest.approx(2 * result.token_bytes / (size * pack.attention))
    # Gradients of all weights are the least that a step adds; those of the plain side take half the bytes.
    weights = sum(weight.numel() for weight in PlainClassifier(32, 4).parameters())
    assert plain.peak > 2 * weights and packs[0].peak > 4 * weights and packs[1].peak > 3 * 4 * weights


def test_packs_that_our_programs_read_are_measured_with_torch_alone_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(benchmark_probe, "uses_programs", lambda tokens, queries: True)
    monkeypatch.setattr(readout_trust, "_fits", lambda tokens: asked.append(True))  # torch reads all the same
    result = measure(BenchmarkSettings(**SMALL | {"tokens": 5000, "dim": 256, "batch": 4, "packs": (1,)}))
    assert [(side.name, side.programs) for side in result.sides] == [
        ("plain", False),
        ("pack of 1", True),
        ("pack of 1, torch alone", False),
    ]
    assert len(asked) == 3, "by the memory's measurement, a step and the reading alone, not by torch alone"


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device = cuda, but torch finds no GPU here"):
        BenchmarkSettings(**SMALL | {"device": "cuda"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "int8"}, "dtype = int8"),
        ({"heads": 5}, "heads = 5 does not divide dim = 32"),
        ({"packs": ()}, "packs"),
        ({"rounds": 0}, "rounds = 0"),
        ({"device": "gpu"}, "device = gpu"),
    ],
)
def test_what_cannot_be_measured_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BenchmarkSettings(**SMALL | change)
