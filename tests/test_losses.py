"""The loss of a step against its definition, and what mixup draws."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from distributed.losses import ProbeLoss
from search_spaces.optimisation import OptimSettings

B, R, DIM, CLASSES = 6, 2, 5, 3
WEIGHTS = torch.tensor([0.5, 2.0, 1.0])
LABELS = torch.tensor([0, 1, 2, 0, 1, 0])


def loss_of(seed: int = 0, **settings: float | str) -> ProbeLoss:
    return ProbeLoss(OptimSettings(**settings), class_weights=WEIGHTS, seed=seed)  # type: ignore[arg-type]


def written_out(logits: torch.Tensor, labels: torch.Tensor, *, smoothing: float, weights: torch.Tensor) -> list[float]:
    """What each video costs."""
    costs = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        normaliser = math.log(sum(math.exp(value) for value in row))
        targets = [smoothing / CLASSES + (1 - smoothing) * (c == label) for c in range(CLASSES)]
        costs.append(float(weights[label]) * sum(t * (normaliser - v) for t, v in zip(targets, row, strict=True)))
    return costs


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["none", "balanced"])
def test_smoothing_and_class_weights(smoothing: float, kind: str) -> None:
    logits = torch.randn(B, CLASSES)
    weights = WEIGHTS if kind == "balanced" else torch.ones(CLASSES)
    expected = np.mean(written_out(logits, LABELS, smoothing=smoothing, weights=weights))
    found = loss_of(label_smoothing=smoothing, class_weights=kind)(logits, LABELS)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_a_batch_of_one_class_keeps_its_weight() -> None:
    logits, labels = torch.randn(4, CLASSES), torch.ones(4, dtype=torch.long)
    assert loss_of(class_weights="balanced")(logits, labels).item() == pytest.approx(
        2 * F.cross_entropy(logits, labels).item()
    )


def test_mixup_mixes_readouts_and_targets_alike() -> None:
    loss = loss_of(mixup=1.0, label_smoothing=0.1, class_weights="balanced")
    # Every video's readout is a direction of its own, so that a mixture tells how much of whom is in it.
    parts = loss.mixed(torch.eye(B)[:, None])[:, 0]
    torch.testing.assert_close(parts.sum(dim=1), torch.ones(B))
    assert ((parts > 0).sum(dim=1) <= 2).all() and ((parts > 0).sum(dim=1) == 2).any()
    logits = torch.randn(B, CLASSES)
    by_class = [written_out(logits, torch.full((B,), c), smoothing=0.1, weights=WEIGHTS) for c in range(CLASSES)]
    expected = np.mean([sum(float(parts[i, j]) * by_class[LABELS[j]][i] for j in range(B)) for i in range(B)])
    assert loss(logits, LABELS).item() == pytest.approx(expected, rel=1e-5)


def test_without_mixup_the_readout_is_left_as_it_is() -> None:
    readout = torch.randn(B, R, DIM)
    assert loss_of().mixed(readout) is readout


def test_draws_follow_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    before, readout = torch.get_rng_state(), torch.randn(B, R, DIM, generator=torch.Generator().manual_seed(0))
    first, again, other = loss_of(3, mixup=0.5), loss_of(3, mixup=0.5), loss_of(4, mixup=0.5)
    one, two = [first.mixed(readout) for _ in range(3)], [again.mixed(readout) for _ in range(3)]
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one[0], other.mixed(readout)) and not torch.equal(one[0], one[1])
    assert torch.equal(torch.get_rng_state(), before)


def test_gradients_reach_the_readouts_of_both() -> None:
    loss, readout = loss_of(mixup=1.0), torch.randn(B, R, DIM, requires_grad=True)
    loss.mixed(readout).sum().backward()  # type: ignore[no-untyped-call]
    assert readout.grad is not None
    torch.testing.assert_close(readout.grad, torch.ones_like(readout))  # the shares of every video add up to 1
