"""Ridge and logistic regression against scikit-learn."""

from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

from search_spaces.closed_form import balanced_weights, fit_linear, logistic, ridge
from search_spaces.ridge import RidgeSpace

CLASSES = 4


def problem(videos: int, dim: int) -> tuple[Tensor, Tensor]:
    """Features of very different scales, one of them constant, and uneven classes."""
    rng = np.random.default_rng(videos)
    labels = np.minimum(rng.geometric(0.45, videos) - 1, CLASSES - 1)
    x = rng.normal(size=(videos, dim)) + rng.normal(size=(CLASSES, dim))[labels]
    x = x * 10.0 ** rng.uniform(-2, 2, dim) + 5
    x[:, 0] = 3.0
    return torch.from_numpy(x), torch.from_numpy(labels)


def sklearn_scores(
    make: Callable[[float, int], Any], x: Tensor, y: Tensor, *, l2: float, targets: Any, balanced: bool
) -> Any:
    deviation = np.where(x.std(0, correction=0) > 1e-12, x.std(0, correction=0), 1)
    scaled = (x.numpy() - x.mean(0).numpy()) / deviation
    weights = np.ones(len(x))
    if balanced:
        weights = compute_class_weight("balanced", classes=np.unique(y), y=y.numpy())[np.searchsorted(np.unique(y), y)]
    model = make(l2, len(x)).fit(scaled, targets, sample_weight=weights)
    return model.predict_proba(scaled) if hasattr(model, "predict_proba") else model.predict(scaled)


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize(("videos", "dim"), [(120, 12), (40, 60)])
@pytest.mark.parametrize("l2", [1e-3, 1.0])
def test_both_equal_scikit_learn(videos: int, dim: int, l2: float, balanced: bool) -> None:
    x, y = problem(videos, dim)
    kind = "balanced" if balanced else "none"
    weights, biases = fit_linear(ridge, x, y, num_classes=CLASSES, l2=l2, class_weights=kind)
    expected = sklearn_scores(
        lambda l2, n: Ridge(alpha=l2 * n), x, y, l2=l2, targets=np.eye(CLASSES)[y], balanced=balanced
    )
    np.testing.assert_allclose((x @ weights.T + biases).numpy(), expected, atol=1e-8)

    weights, biases = fit_linear(logistic, x, y, num_classes=CLASSES, l2=l2, class_weights=kind)
    expected = sklearn_scores(
        lambda l2, n: LogisticRegression(C=1 / (l2 * n), tol=1e-10, max_iter=10_000),
        x,
        y,
        l2=l2,
        targets=y.numpy(),
        balanced=balanced,
    )
    np.testing.assert_allclose((x @ weights.T + biases).softmax(dim=1).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("solver", [ridge, logistic])
def test_a_class_without_a_video_is_never_predicted_and_takes_nothing_from_the_others(solver: Any) -> None:
    x, y = problem(120, 12)
    moved = torch.where(y == 3, 4, y)  # class 3 has no video
    weights, biases = fit_linear(solver, x, moved, num_classes=6, l2=0.1, class_weights="balanced")
    known, there = fit_linear(solver, x, y, num_classes=CLASSES, l2=0.1, class_weights="balanced")
    present = [0, 1, 2, 4]
    torch.testing.assert_close(weights[present], known)
    torch.testing.assert_close(biases[present], there)
    probabilities = (100 * torch.randn(50, 12).double() @ weights.T + biases).softmax(dim=1)
    assert not weights[[3, 5]].any() and probabilities.isfinite().all()
    scores = (x @ weights.T + biases).softmax(dim=1)
    assert scores[:, [3, 5]].max() < 1e-6 and set(scores.argmax(dim=1).tolist()) <= set(present)


@pytest.mark.parametrize("solver", [ridge, logistic])
def test_one_class_alone_and_the_same_input_twice(solver: Any) -> None:
    x, y = problem(30, 50)
    first = fit_linear(solver, x, y, num_classes=CLASSES, l2=1e-4, class_weights="none")
    again = fit_linear(solver, x.clone(), y, num_classes=CLASSES, l2=1e-4, class_weights="none")
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    weights, biases = fit_linear(solver, x, 0 * y, num_classes=2, l2=1e-4, class_weights="balanced")
    assert ((x @ weights.T + biases).argmax(dim=1) == 0).all()


def test_balanced_weights_make_classes_count_alike() -> None:
    labels = torch.tensor([0, 0, 0, 2])
    weights = balanced_weights(labels, 4)
    assert weights.tolist() == pytest.approx([4 / 6, 0, 2, 0])
    assert weights[labels].mean().item() == pytest.approx(1)


def test_ranges_check_themselves() -> None:
    assert RidgeSpace(l2=(1.0, 1.0), class_weights=("none",)).suggest(optuna.create_study().ask(), dim=3) == {
        "ridge.l2": 1.0,
        "ridge.class_weights": "none",
    }
    for wrong, message in [
        ({"l2": [0, 1]}, r"ridge\.l2"),
        ({"class_weights": ["even"]}, r"ridge\.class_weights.*even is unknown"),
        ({"alpha": [1, 1]}, "alpha"),
    ]:
        with pytest.raises(ValidationError, match=message):
            TypeAdapter(RidgeSpace).validate_python(wrong)
