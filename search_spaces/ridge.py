"""The ridge probe: the linear probe with weights from ridge regression on one-hot targets, computed in one go.

Its largest output is its answer; as probabilities, through a softmax, its outputs are far too even: the temperature
that an evaluation fits mends that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from search_spaces.closed_form import FittedLinear, FittedSpace, build_fitted, ridge
from search_spaces.declaration import Family
from search_spaces.probe import TokenGrid


@dataclass(frozen=True)
class RidgeSpace(FittedSpace):
    """What is searched about the ridge probe."""

    family: ClassVar[str] = "ridge"


def build(
    params: Mapping[str, Any], *, dim: int, num_classes: int, seed: int, grid: TokenGrid | None = None
) -> FittedLinear:
    """The probe that `params` describe, to be fitted. Raises ValueError on bad ones."""
    return build_fitted("ridge", ridge, params, dim=dim, num_classes=num_classes, seed=seed)


FAMILY = Family("ridge", RidgeSpace, build, fitted=True)
