"""The linear probe: the mean of the standardised tokens, a LayerNorm, one linear layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from search_spaces.declaration import Family
from search_spaces.probe import Dropout, MeanPooledProbe, RandomStream, TokenGrid, linear
from search_spaces.ranges import check_range, own_params, share

if TYPE_CHECKING:  # probes are trained on machines without optuna
    from optuna.trial import BaseTrial


@dataclass(frozen=True)
class LinearSpace:
    """What is searched about the linear probe: the share of features dropped in training."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    dropout: tuple[float, float] = (0.0, 0.5)

    def __post_init__(self) -> None:
        check_range("linear.dropout", self.dropout, low=0.0, high=0.95)

    def suggest(self, trial: BaseTrial, *, dim: int) -> dict[str, Any]:
        """Parameters of one probe, by the names the trial knows them by; `dim` does not matter here."""
        return {"linear.dropout": trial.suggest_float("linear.dropout", *self.dropout)}


class LinearProbe(MeanPooledProbe):
    """Mean pooling and one linear layer.

    The mean of many tokens is far smaller than one token, by how much depends on the video: the LayerNorm
    brings every video to one scale, so that one learning rate suits all encoders and numbers of tokens.
    """

    def __init__(self, dim: int, num_classes: int, *, dropout: float, seed: int) -> None:
        super().__init__(dim)
        stream = RandomStream(seed)
        self.norm = nn.LayerNorm(dim)
        self.drop = Dropout(dropout, stream)
        self.linear = linear(dim, num_classes, stream, std=0.02)

    def classify(self, readout: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.drop(self.norm(readout[:, 0])))
        return logits


def build(
    params: Mapping[str, Any], *, dim: int, num_classes: int, seed: int, grid: TokenGrid | None = None
) -> LinearProbe:
    """The probe that `params` describe, weights drawn from `seed` alone. Raises ValueError on bad ones."""
    own = own_params(params, "linear", ["dropout"])
    return LinearProbe(dim, num_classes, dropout=share("linear.dropout", own["dropout"]), seed=seed)


FAMILY = Family("linear", LinearSpace, build)
