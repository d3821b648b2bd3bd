"""The logistic probe: the linear probe with weights from multinomial logistic regression, computed in one go."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from search_spaces.closed_form import FittedLinear, FittedSpace, build_fitted, logistic
from search_spaces.declaration import Family
from search_spaces.probe import TokenGrid


@dataclass(frozen=True)
class LogisticSpace(FittedSpace):
    """What is searched about the logistic probe."""

    family: ClassVar[str] = "logistic"


def build(
    params: Mapping[str, Any], *, dim: int, num_classes: int, seed: int, grid: TokenGrid | None = None
) -> FittedLinear:
    """The probe that `params` describe, to be fitted. Raises ValueError on bad ones."""
    return build_fitted("logistic", logistic, params, dim=dim, num_classes=num_classes, seed=seed)


FAMILY = Family("logistic", LogisticSpace, build, fitted=True)
