"""Which hyperparameters the scores of a sweep hang on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna

from tracking import records as rec
from tracking.records import Record
from tracking.studies import empty_study, plain, shared_space

FEWEST = 10  # complete configurations below which a ranking would be an accident
MOST = 10  # parameters shown


@dataclass(frozen=True)
class Importances:
    """`shares` (name -> part of 1, largest first), or `reason`: why there are none."""

    shares: dict[str, float] = field(default_factory=dict)
    num_probes: int = 0
    reason: str = ""


def importances(probes: Sequence[Record]) -> Importances:
    """fANOVA's importances of the parameters that every complete configuration has.

    Only complete configurations count: a pruned one has the score of an earlier epoch. The mean of its fold
    is taken off every score first, so that easy and hard folds do not pass for good and bad parameters.
    """
    complete = rec.scored(probes, "complete")
    if len(complete) < FEWEST:
        return Importances(reason=f"{len(complete)} complete configurations, at least {FEWEST} are needed.")
    scores = _without_fold_means(complete)
    if np.ptp(scores) < 1e-9:
        return Importances(reason="all scores are equal, so no parameter made a difference.")
    space = shared_space([probe["params"] for probe in complete])
    if not space:
        return Importances(reason="no parameter that all configurations share was varied.")
    study = empty_study()
    for probe, score in zip(complete, scores, strict=True):
        params = {name: plain(probe["params"][name], space[name]) for name in space}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=dict(space), value=float(score)))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return Importances(shares=dict(list(shares.items())[:MOST]), num_probes=len(complete))


def _without_fold_means(probes: Sequence[Record]) -> np.ndarray[Any, np.dtype[np.float64]]:
    scores = np.array([probe["score"] for probe in probes], np.float64)
    folds = np.array([probe["fold"] for probe in probes])
    for fold in rec.fold_numbers(probes):
        scores[folds == fold] -= scores[folds == fold].mean()
    return scores
