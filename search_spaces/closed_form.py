"""Linear classifiers whose weights are computed in one go, in double precision: ridge and logistic regression.

Both standardise every feature over the videos and fold that into the weights, so that what comes out is one linear
layer. Penalties are relative to the number of videos, and the biases bear none. The same input gives the same weights:
nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from search_spaces.linear import LinearProbe
from search_spaces.optimisation import CLASS_WEIGHTS
from search_spaces.probe import FittedProbe
from search_spaces.ranges import check_names, check_range, own_params, positive

if TYPE_CHECKING:  # probes are trained on machines without optuna
    from optuna.trial import BaseTrial

# Where a class without a video starts: its probability is nothing.
ABSENT = -30.0
_NEWTON_STEPS, _CG_STEPS = 100, 200
Solver = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]


def balanced_weights(labels: Tensor, num_classes: int) -> Tensor:
    """Weights float64[C] that make all classes count alike: M / (classes with a video · videos of the class).

    Their mean over the videos of `labels`, int64[M], is 1; a class without a video has 0.
    """
    counts = torch.bincount(labels, minlength=num_classes).double()
    weights = len(labels) / (counts * (counts > 0).sum())
    return torch.where(counts > 0, weights, 0.0)


def fit_linear(
    solver: Solver, features: Tensor, labels: Tensor, *, num_classes: int, l2: float, class_weights: str
) -> tuple[Tensor, Tensor]:
    """Weights float64[C, D] and biases float64[C] of a linear layer over features [M, D] and labels int64[M].

    A class without a video is never predicted.
    """
    x = features.double()
    mean, scale = x.mean(dim=0), x.std(dim=0, correction=0)
    scale = torch.where(scale > 1e-12, scale, 1.0)  # a constant feature says nothing
    present, targets = torch.unique(labels, return_inverse=True)
    each = torch.ones(len(labels), dtype=x.dtype, device=x.device)
    if class_weights == "balanced":
        each = balanced_weights(targets, len(present))[targets]
    inner, offset = solver((x - mean) / scale, torch.nn.functional.one_hot(targets, len(present)).double(), each, l2)
    weights, biases = x.new_zeros(num_classes, x.shape[1]), x.new_full((num_classes,), ABSENT)
    weights[present] = inner.T / scale
    biases[present] = offset - weights[present] @ mean
    return weights, biases


def ridge(x: Tensor, targets: Tensor, each: Tensor, l2: float) -> tuple[Tensor, Tensor]:
    """Ridge regression (Hoerl and Kennard, 1970) on targets one-hot [M, C]: coefficients [D, C], intercepts [C].

    Minimises Σ each·(x·w + b - target)² / M + l2·‖w‖²; scikit-learn's `Ridge(alpha=l2·M)` with sample weights.
    """
    total = each.sum()
    x_mean, y_mean = (each @ x) / total, (each @ targets) / total
    root = each.sqrt()[:, None]
    a, y = root * (x - x_mean), root * (targets - y_mean)
    penalty = l2 * len(x)
    if len(x) < x.shape[1]:  # the smaller of two equal systems
        gram = a @ a.T
        gram.diagonal().add_(penalty)
        inner = a.T @ torch.linalg.solve(gram, y)
    else:
        gram = a.T @ a
        gram.diagonal().add_(penalty)
        inner = torch.linalg.solve(gram, a.T @ y)
    return inner, y_mean - x_mean @ inner


def logistic(x: Tensor, targets: Tensor, each: Tensor, l2: float) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression by Newton's method with conjugate gradients: [D, C] and intercepts [C].

    Minimises Σ each·cross-entropy / M + l2/2·‖w‖²; scikit-learn's `LogisticRegression(C=1/(l2·M))`. Source: Nocedal
    and Wright, "Numerical Optimization", 2006, algorithm 7.1.
    """
    ones = x.new_ones(len(x), 1)
    a, count, share = torch.cat([x, ones], dim=1), len(x), (each / each.sum())[:, None]
    penalty = torch.cat([x.new_full((x.shape[1], 1), l2 * count / float(each.sum())), x.new_zeros(1, 1)])
    w = x.new_zeros(a.shape[1], targets.shape[1])

    def value(at: Tensor) -> Tensor:
        logits = a @ at
        return (share * targets * -logits.log_softmax(dim=1)).sum() + 0.5 * (penalty * at * at).sum()

    for _ in range(_NEWTON_STEPS):
        p = (a @ w).softmax(dim=1)
        gradient = a.T @ (share * (p - targets)) + penalty * w
        size = float(gradient.norm())
        if size < 1e-10:
            break

        def curve(v: Tensor, p: Tensor = p) -> Tensor:
            z = a @ v
            return a.T @ (share * (p * (z - (p * z).sum(dim=1, keepdim=True)))) + penalty * v

        step = _conjugate_gradients(curve, -gradient, min(0.1, size**0.5) * size)
        before, slope, length = value(w), (gradient * step).sum(), 1.0
        while length > 1e-8 and value(w + length * step) > before + 1e-4 * length * slope:
            length /= 2
        w = w + length * step
    return w[:-1], w[-1] - w[-1].mean()


def _conjugate_gradients(curve: Callable[[Tensor], Tensor], right: Tensor, tolerance: float) -> Tensor:
    """The solution of curve(x) = right, or as near as `tolerance` and the number of steps let it come."""
    x, rest = torch.zeros_like(right), right.clone()
    direction, size = rest.clone(), (rest * rest).sum()
    for _ in range(_CG_STEPS):
        bent = curve(direction)
        along = (direction * bent).sum()
        if float(along) <= 0:  # the common shift of all biases changes nothing: flat
            break
        x = x + size / along * direction
        rest = rest - size / along * bent
        new = (rest * rest).sum()
        if float(new) ** 0.5 < tolerance:
            break
        direction, size = rest + new / size * direction, new
    return x


@dataclass(frozen=True)
class FittedSpace:
    """What is searched about a classifier that is computed: [low, high] of `l2`, and the choices of `class_weights`.

    `l2`: the penalty per video, on a logarithmic scale; `class_weights`: none, or balanced, as if every class had as
    many videos.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    family: ClassVar[str]

    l2: tuple[float, float] = (1e-4, 10.0)
    class_weights: tuple[str, ...] = CLASS_WEIGHTS

    def __post_init__(self) -> None:
        check_range(f"{self.family}.l2", self.l2, low=1e-12, high=1e12)
        check_names(f"{self.family}.class_weights", self.class_weights, CLASS_WEIGHTS)

    def suggest(self, trial: BaseTrial, *, dim: int) -> dict[str, Any]:
        """Parameters of one probe, by the names the trial knows them by; `dim` does not matter here."""
        weights = f"{self.family}.class_weights"
        return {
            f"{self.family}.l2": trial.suggest_float(f"{self.family}.l2", *self.l2, log=True),
            weights: trial.suggest_categorical(weights, self.class_weights),
        }


class FittedLinear(LinearProbe, FittedProbe):
    """The linear probe's network with weights that a solver computes."""

    def __init__(self, dim: int, num_classes: int, *, solver: Solver, l2: float, class_weights: str, seed: int) -> None:
        super().__init__(dim, num_classes, dropout=0.0, seed=seed)
        self.solver, self.l2, self.class_weights = solver, l2, class_weights

    @torch.no_grad()
    def fit(self, pooled: Tensor, labels: Tensor) -> None:
        weights, biases = fit_linear(
            self.solver,
            self.norm(pooled),
            labels,
            num_classes=self.linear.out_features,
            l2=self.l2,
            class_weights=self.class_weights,
        )
        self.linear.weight.copy_(weights)
        self.linear.bias.copy_(biases)


def build_fitted(
    family: str, solver: Solver, params: Mapping[str, Any], *, dim: int, num_classes: int, seed: int
) -> FittedLinear:
    """The probe of a family whose weights `solver` computes. Raises ValueError on bad parameters."""
    own = own_params(params, family, ["l2", "class_weights"])
    check_names(f"{family}.class_weights", [own["class_weights"]], CLASS_WEIGHTS)
    l2 = positive(f"{family}.l2", own["l2"])
    return FittedLinear(dim, num_classes, solver=solver, l2=l2, class_weights=own["class_weights"], seed=seed)
