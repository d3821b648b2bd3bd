"""A sweep as Optuna studies for whoever wants to look at them, built from the pack files as the search itself does."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import optuna
from optuna.storages import InMemoryStorage
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from distributed.search import Record, SearchConfig, pack_name, read_packs
from distributed.storage import Storage

_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
_SHOWN = ("family", "pack", "num_parameters", "reason")


@dataclass(frozen=True)
class SweptFold:
    """One fold of a sweep: where its packs lie, and the ranges and token width that its parameters came from."""

    name: str
    packs: Storage
    config: SearchConfig
    dim: int


class SweepStudies:
    """A study a fold, in memory: whoever changes one changes a copy."""

    def __init__(self, folds: Sequence[SweptFold]) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.storage = InMemoryStorage()
        self._folds = folds
        self._studies = [
            optuna.create_study(storage=self.storage, study_name=fold.name, direction="maximize") for fold in folds
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            for study in self._studies:
                study.set_metric_names(["inner validation UAR"])
        self._known: list[set[int]] = [set() for _ in folds]

    def refresh(self) -> None:
        """Add what has ended since the last time; a pack waits for those before it, so that numbers agree."""
        for fold, study, known in zip(self._folds, self._studies, self._known, strict=True):
            ended = read_packs(fold.packs, known)
            while (pack := len(known)) in ended:
                moment = datetime.fromtimestamp(fold.packs.modified(pack_name(pack)))
                study.add_trials([as_trial(record, fold, moment) for record in ended[pack]])
                known.add(pack)


def as_trial(record: Record, fold: SweptFold, ended: datetime) -> FrozenTrial:
    """A configuration with its ranges, its inner-validation UAR at every epoch, and when it was trained."""
    ranges = FixedTrial(record["params"])
    fold.config.suggest(ranges, dim=fold.dim)
    state = _STATES[record["state"]]
    trial = create_trial(
        state=state,
        value=record["score"] if state == TrialState.COMPLETE else None,
        params=ranges.params,
        distributions=ranges.distributions,
        user_attrs={name: record[name] for name in _SHOWN if record[name] is not None},
        intermediate_values={
            epoch["epoch"]: epoch["validation_uar"]
            for epoch in record["curves"]
            if epoch.get("validation_uar") is not None
        },
    )
    trial.datetime_start, trial.datetime_complete = ended - timedelta(seconds=record["seconds"]), ended
    return trial
