"""Probabilities of a pack: softmax first, then the mean over the views."""

import copy

import numpy as np
import pytest
import torch

from distributed import prediction
from distributed.prediction import pack_logits, predict_probabilities
from distributed.readout import readout
from distributed.token_source import TensorTokens
from search_spaces.attentive import AttentiveProbe
from search_spaces.deep import DeepProbe
from search_spaces.linear import LinearProbe
from search_spaces.probe import Probe

DIM, CLASSES = 16, 4


def pack() -> list[Probe]:
    probes = [
        LinearProbe(DIM, CLASSES, dropout=0.4, seed=1),
        AttentiveProbe(DIM, CLASSES, heads=4, queries=2, dropout=0.2, seed=2),
    ]
    for probe in probes:
        torch.nn.init.normal_(probe.get_parameter("linear.weight"))
    return probes


def test_softmax_is_averaged_over_views_and_dropout_is_off() -> None:
    tokens, probes = torch.randn(9, 3, 11, DIM), pack()
    rows = np.array([8, 0, 3, 4, 5, 1, 7])
    result = predict_probabilities(TensorTokens(tokens), rows, probes, device="cpu", batch=3)
    assert result.dtype == np.float32 and result.shape == (2, 7, CLASSES)
    assert all(module.training for probe in probes for module in probe.modules())
    for probe, mine in zip(probes, result, strict=True):
        probe.eval()
        for row, probabilities in zip(rows, mine, strict=True):
            views = [probe.classify(readout(view[None], probe.queries())).softmax(-1) for view in tokens[row]]
            np.testing.assert_allclose(probabilities, torch.cat(views).mean(0).detach().numpy(), atol=1e-6)


def test_size_of_a_read_does_not_matter() -> None:
    source, rows, probes = TensorTokens(torch.randn(9, 2, 11, DIM)), np.arange(9), pack()
    by_two = predict_probabilities(source, rows, probes, device="cpu", batch=2)
    at_once = predict_probabilities(source, rows, probes, device="cpu", batch=64)
    np.testing.assert_allclose(by_two, at_once, atol=1e-6)


def test_probe_in_evaluation_mode_stays_in_it() -> None:
    probe = pack()[0].eval()
    predict_probabilities(TensorTokens(torch.randn(2, 1, 3, DIM)), np.arange(2), [probe], device="cpu")
    assert not probe.training


def test_blocks_whose_products_are_bfloat16_lose_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, of a probe with weights of a trained one's size, against double precision."""
    monkeypatch.setattr(prediction, "_multiplies_in_bfloat16", lambda tokens: tokens.dtype == torch.bfloat16)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(3, 40, 64, generator=generator) + 2 * torch.randn(64, generator=generator)
    probe = DeepProbe(64, 5, heads=4, depth=3, seed=0)
    with torch.no_grad():
        for weight in probe.parameters():
            weight.mul_(4 if weight.ndim > 1 else 1)
    found = []
    for mine, read in ((probe, tokens.to(torch.bfloat16)), (copy.deepcopy(probe).double(), tokens.bfloat16().double())):
        logits = pack_logits([mine], read)[0]
        torch.nn.functional.cross_entropy(logits, torch.arange(3)).backward()  # type: ignore[no-untyped-call]
        grads = [weight.grad.flatten() for weight in mine.parameters() if weight.grad is not None]
        found.append((logits.detach(), torch.cat(grads)))
        assert all(weight.grad.dtype == weight.dtype for weight in mine.parameters() if weight.grad is not None)
    for mine_, truth in zip(*found, strict=True):
        assert 1e-6 < float((mine_ - truth).norm() / truth.norm()) < 5e-3
