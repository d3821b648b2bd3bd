"""From the classes of one dataset to those of another, and scores across the two. Pure.

Two variants stand side by side. `open`: the probe answers with any of its classes, and an answer that the target
lacks is an error. `masked`: the probe chooses among the classes that both have, which is easier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from distributed import metrics
from distributed.errors import UserError

Rows = npt.NDArray[np.int64]
Calm = Literal["neutral", "drop"]
_CALM, _NEUTRAL = "calm", "neutral"
OTHER = "a class that the target lacks"
VARIANTS = ("open", "masked")


class TransferConfig(BaseModel):
    """How classes correspond when an experiment's winners score the videos of another one.

    By their names; `calm`, which RAVDESS alone has, counts as neutral on both sides or is dropped. `classes`
    says it for any two datasets: each class of the source with one of the target, or null where it has none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    calm: Calm = "neutral"
    classes: dict[str, str | None] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _calm_is_used(self) -> Self:
        if self.classes is not None and "calm" in self.model_fields_set:
            raise ValueError("calm is not used where classes says which class is which; remove one of them")
        return self


@dataclass(frozen=True)
class ClassMap:
    """`names` are the classes that both have, in the target's order. `source` int64[C] holds for each class of the
    source its place in `names`, `target` int64[T] that of each class of the target; -1 where it has none."""

    names: tuple[str, ...]
    source: Rows
    target: Rows

    def to_json(self, source: Sequence[str], target: Sequence[str]) -> dict[str, Any]:
        """In names: what each class of the source and of the target counts as, None where it is not shared."""
        ours, theirs = (
            {name: self.names[at] if at >= 0 else None for name, at in zip(names, places, strict=True)}
            for names, places in ((source, self.source), (target, self.target))
        )
        return {"classes": ours, "target_classes": theirs, "label_names": list(self.names)}


def class_map(source: Sequence[str], target: Sequence[str], config: TransferConfig) -> ClassMap:
    """How the classes of `source`, which the probes know, and of `target` correspond.

    Raises:
        UserError: `transfer.classes` names an unknown class or leaves one out, or fewer than two are shared.
    """
    ours: dict[str, str | None] = {name: name for name in source}
    theirs: dict[str, str | None] = {name: name for name in target}
    if config.classes is not None:
        ours = _named_pairs(source, target, config.classes)
    else:
        for names, other, pairs in ((source, target, ours), (target, source, theirs)):
            if _CALM in names and _CALM not in other:
                pairs[_CALM] = _NEUTRAL if config.calm == "neutral" else None
    reached = set(ours.values())
    shared = [name for name in target if theirs[name] == name and name in reached]
    if len(shared) < 2:
        raise UserError(
            f"transfer.classes: the classes {', '.join(source)} and {', '.join(target)} share "
            f"{len(shared)}, and two are needed; say which is which, such as transfer.classes={{happy: joy, sad: null}}"
        )
    place = {name: index for index, name in enumerate(shared)}
    places = [
        np.array([place.get(pairs[name] or "", -1) for name in names], np.int64)
        for names, pairs in ((source, ours), (target, theirs))
    ]
    return ClassMap(tuple(shared), places[0], places[1])


def _named_pairs(
    source: Sequence[str], target: Sequence[str], classes: Mapping[str, str | None]
) -> dict[str, str | None]:
    unknown = sorted(set(classes) - set(source)) + sorted({name for name in classes.values() if name} - set(target))
    if unknown:
        raise UserError(
            f"transfer.classes: no dataset has {', '.join(unknown)}; the source has {', '.join(source)}, "
            f"the target {', '.join(target)}"
        )
    missing = sorted(set(source) - set(classes))
    if missing:
        raise UserError(f"transfer.classes: says nothing of {', '.join(missing)}; give a class of the target or null")
    return dict(classes)


def answers(probabilities: npt.NDArray[np.float32], classes: ClassMap) -> dict[str, Rows]:
    """The answers int64[B] of each variant to probabilities float[B, C] of the source's classes.

    Places in `classes.names`; in `open` its length stands for a class that the target lacks. Probabilities of
    classes that count as one are added.
    """
    shared = len(classes.names)
    own = np.flatnonzero(classes.source < 0)
    added = np.zeros((len(probabilities), shared), np.float64)
    for column, place in enumerate(classes.source):
        if place >= 0:
            added[:, place] += probabilities[:, column]
    everything = np.concatenate([added, probabilities[:, own]], axis=1)
    return {"open": np.minimum(everything.argmax(axis=1), shared), "masked": added.argmax(axis=1)}


def transfer_scores(truth: Rows, probabilities: npt.NDArray[np.float32], classes: ClassMap) -> dict[str, Any]:
    """Scores of each variant for videos of true classes int64[B] (places in the target's label names).

    `confusion` is int64[K + 1, K + 1] over `classes.names` and, last, a class that the target lacks; videos whose
    class the source lacks are counted in `num_left_out` and in no score.
    """
    true = classes.target[truth]
    kept = true >= 0
    size = len(classes.names) + 1
    found: dict[str, Any] = {"num_test": int(kept.sum()), "num_left_out": int((~kept).sum())}
    for variant, predicted in answers(probabilities[kept], classes).items():
        confusion = metrics.confusion_matrix(true[kept], predicted, size)
        recall = metrics.recall_per_class(confusion)[:-1]
        found[variant] = {
            "scores": metrics.scores(confusion),
            "confusion": confusion.tolist(),
            "recall": dict(zip(classes.names, recall, strict=True)),
        }
    return found
