"""The probe families there are, by name: every file of this folder that declares one as its `FAMILY`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

import search_spaces
from search_spaces.declaration import Family, Space
from search_spaces.optimisation import OPTIM_NAMES
from search_spaces.probe import FittedProbe, MixingProbe, Probe, TokenGrid

__all__ = ["DEFAULT_FAMILIES", "FAMILIES", "Family", "Space", "build_probe"]

DEFAULT_FAMILIES = ("linear", "mlp", "attentive")


def _declared() -> dict[str, Family]:
    """The families that the files of this folder declare, in the order of their names.

    Raises TypeError on a `FAMILY` that is not one, and on one that is not called like its file.
    """
    families = {}
    for file in pkgutil.iter_modules(search_spaces.__path__):
        name = f"{search_spaces.__name__}.{file.name}"
        if name == __name__:
            continue
        family = getattr(importlib.import_module(name), "FAMILY", None)
        if family is None:
            continue
        if not isinstance(family, Family) or family.name != file.name:
            raise TypeError(f"{name}.FAMILY must be a Family of the name {file.name}, not {family!r}")
        families[family.name] = family
    return families


FAMILIES = _declared()


def build_probe(
    family: str, params: Mapping[str, Any], *, dim: int, num_classes: int, seed: int, grid: TokenGrid | None = None
) -> Probe:
    """The probe of a family with `params`, which may hold `family` and, if it is trained by steps, their settings too.

    `grid` is how a video's tokens lie, which some families need to know.
    Raises ValueError on an unknown family, and on a parameter that nothing would read; TypeError when the probe is
    none of the kind that its family declares.
    """
    if family not in FAMILIES:
        raise ValueError(f"family = {family!r} is unknown: choose one of {sorted(FAMILIES)}")
    if params.get("family", family) != family:
        raise ValueError(f"parameter family = {params['family']!r} contradicts the family {family!r}")
    declared = FAMILIES[family]
    known = {"family"} if declared.fitted else {"family", *OPTIM_NAMES}
    stray = sorted(key for key in params if key not in known and not key.startswith(f"{family}."))
    if stray:
        raise ValueError(f"parameter {stray[0]} is not used by the {family} probe nor by its optimisation")
    probe = declared.build(params, dim=dim, num_classes=num_classes, seed=seed, grid=grid)
    for kind, said in ((MixingProbe, declared.mixes), (FittedProbe, declared.fitted)):
        if isinstance(probe, kind) != said:
            raise TypeError(f"the family {family} says {said} of being a {kind.__name__}, its probe says otherwise")
    return probe
