"""The MLP probe: the mean of the standardised tokens, a LayerNorm, hidden layers with GELU and dropout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from search_spaces.declaration import Family
from search_spaces.probe import Dropout, MeanPooledProbe, RandomStream, TokenGrid, linear
from search_spaces.ranges import check_choices, check_range, own_params, share, whole

if TYPE_CHECKING:  # probes are trained on machines without optuna
    from optuna.trial import BaseTrial


@dataclass(frozen=True)
class MlpSpace:
    """What is searched about the MLP probe: width and number of the hidden layers, and dropout."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    width: tuple[int, ...] = (128, 256, 512)
    layers: tuple[int, ...] = (1, 2)
    dropout: tuple[float, float] = (0.0, 0.5)

    def __post_init__(self) -> None:
        check_choices("mlp.width", self.width, above=0)
        check_choices("mlp.layers", self.layers, above=0)
        check_range("mlp.dropout", self.dropout, low=0.0, high=0.95)

    def suggest(self, trial: BaseTrial, *, dim: int) -> dict[str, Any]:
        """Parameters of one probe, by the names the trial knows them by; `dim` does not matter here."""
        return {
            "mlp.width": trial.suggest_categorical("mlp.width", self.width),
            "mlp.layers": trial.suggest_categorical("mlp.layers", self.layers),
            "mlp.dropout": trial.suggest_float("mlp.dropout", *self.dropout),
        }


class MlpProbe(MeanPooledProbe):
    """Mean pooling and a multilayer perceptron."""

    def __init__(self, dim: int, num_classes: int, *, width: int, layers: int, dropout: float, seed: int) -> None:
        super().__init__(dim)
        stream = RandomStream(seed)
        self.norm = nn.LayerNorm(dim)
        steps: list[nn.Module] = []
        for inputs in [dim] + [width] * (layers - 1):
            steps += [linear(inputs, width, stream), nn.GELU(), Dropout(dropout, stream)]
        self.hidden = nn.Sequential(*steps)
        self.linear = linear(width, num_classes, stream, std=0.02)

    def classify(self, readout: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.hidden(self.norm(readout[:, 0])))
        return logits


def build(
    params: Mapping[str, Any], *, dim: int, num_classes: int, seed: int, grid: TokenGrid | None = None
) -> MlpProbe:
    """The probe that `params` describe, weights drawn from `seed` alone. Raises ValueError on bad ones."""
    own = own_params(params, "mlp", ["width", "layers", "dropout"])
    return MlpProbe(
        dim,
        num_classes,
        width=whole("mlp.width", own["width"]),
        layers=whole("mlp.layers", own["layers"]),
        dropout=share("mlp.dropout", own["dropout"]),
        seed=seed,
    )


FAMILY = Family("mlp", MlpSpace, build)
