"""Probabilities of a pack: softmax first, then the mean over the views."""

import numpy as np
import torch

from distributed.prediction import predict_probabilities
from distributed.readout import readout
from distributed.token_source import TensorTokens
from search_spaces.attentive import AttentiveProbe
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
