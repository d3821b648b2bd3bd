"""Refit each fold's winner on everything outside the fold and score the fold once.

`nested`: the winner was chosen on inner validation actors that the fold's test part shares nobody with.
`paper`: the fixed recipe of the reference (AdamW, 20 epochs, batch 4), nothing is chosen.
Repeats of the winner and the members of an ensemble are trained in one pack: all read the tokens once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import pyarrow as pa
import ray
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors.torch import save as save_safetensors

from distributed import metrics
from distributed.calibration import calibration_record, fit_temperature
from distributed.cluster import finish
from distributed.errors import UserError
from distributed.families import family_results, further_records
from distributed.fold_tables import Member, members_table, parquet_bytes, predictions_table
from distributed.folds import Fold
from distributed.labelled_tokens import LabelledTokens
from distributed.refits import Probabilities, Refit, record_spec, refit_spec, score, train_and_predict
from distributed.search import Record, derived_seed
from distributed.selection import FamilyBest
from distributed.storage import Storage
from distributed.threads import use_threads
from distributed.training import ProbeResult, ProbeSpec, TrainingConfig

Selection = Literal["nested", "paper"]


class EvaluateConfig(BaseModel):
    """How the probe that is scored on a fold is chosen, how often it is trained, and what goes with it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    selection: Selection = "nested"
    repeats: int = Field(1, ge=1, description="trainings of the winner with other seeds; its scores are their mean")
    ensemble: int = Field(0, ge=0, description="best configurations whose probabilities are averaged too; 0 none")
    calibrate: bool = Field(True, description="fit a temperature on the inner validation actors")
    without_passes: bool = Field(
        True, description="where training takes augmented passes, also train the winner on the clean pass alone"
    )
    families: bool = Field(False, description="score every family's best configuration too, to compare families")

    @model_validator(mode="after")
    def _families_are_searched(self) -> Self:
        if self.families and self.selection == "paper":
            raise ValueError(
                "families: the fixed recipe of selection=paper is of one family; remove families or set "
                "selection: nested"
            )
        return self

    @model_validator(mode="after")
    def _the_ensemble_is_one(self) -> Self:
        if self.ensemble == 1:
            raise ValueError("ensemble: one configuration is the winner itself; set 2 or more, or 0 for none")
        if self.ensemble and self.selection == "paper":
            raise ValueError(
                "ensemble: the fixed recipe of selection=paper is one configuration, so there is nothing to average; "
                "remove ensemble or set selection: nested"
            )
        return self


@dataclass(frozen=True)
class FoldEvaluation:
    """One fold's winner, to be refitted on `fold.development` and scored on `fold.test`.

    `ensemble`: the configurations of the fold's ensemble, the winner first; none without one. `families`: the best of
    every family, the winner's first; none where they are not compared.
    """

    fold: Fold
    winner: Record
    tokens: LabelledTokens
    training: TrainingConfig
    config: EvaluateConfig
    seed: int
    results: Storage
    ensemble: tuple[Record, ...] = ()
    families: tuple[FamilyBest, ...] = ()

    @property
    def compares_passes(self) -> bool:
        """Whether the winner is also to be trained without the augmented passes, and there are some."""
        header = self.tokens.store.header
        stored = len(header.views) > len(header.clean_views)
        return self.config.without_passes and stored and self.training.views != "clean"


@dataclass(frozen=True)
class FoldOutcome:
    """The fold record; the weights and the predictions (a row a test video) of the winner's first training.

    `members`: the predictions of every training and of the ensemble, None where there is but one training.
    """

    record: Record
    weights: dict[str, torch.Tensor]
    predictions: pa.Table
    members: pa.Table | None


def evaluate_folds(
    jobs: Sequence[FoldEvaluation], on_fold: Callable[[Record], None], *, cpus: float = 1, gpus: float = 0
) -> list[Record]:
    """Refit and score every fold that has no result yet, all at once; `on_fold` hears of each once.

    `cpus` and `gpus` are what a fold books.

    Returns the fold records in the order of `jobs`.
    """
    running = {}
    for job in jobs:
        if job.results.exists(result_name(job.fold.index)):
            on_fold(job.results.read_json(result_name(job.fold.index)))
        else:
            task = _evaluate_fold.options(num_cpus=cpus, num_gpus=gpus)
            running[task.remote(job, max(1, math.floor(cpus)))] = job
    for job, _ in finish(running):
        on_fold(job.results.read_json(result_name(job.fold.index)))
    return [job.results.read_json(result_name(job.fold.index)) for job in jobs]


def result_name(fold: int) -> str:
    return f"fold-{fold}.json"


@ray.remote(max_retries=2)  # type: ignore[untyped-decorator]
def _evaluate_fold(job: FoldEvaluation, threads: int) -> None:
    """The weights and predictions are written first: a fold counts once its record is there."""
    use_threads(threads)
    outcome, name = refit_and_score(job), f"fold-{job.fold.index}"
    job.results.write_bytes(f"{name}.safetensors", save_safetensors(outcome.weights))
    job.results.write_bytes(f"{name}.parquet", parquet_bytes(outcome.predictions))
    if outcome.members is not None:
        job.results.write_bytes(f"{name}-members.parquet", parquet_bytes(outcome.members))
    job.results.write_json(result_name(job.fold.index), outcome.record)


def refit_and_score(job: FoldEvaluation) -> FoldOutcome:
    """Train the winner's repeats, the ensemble and the families in one pack, and score the fold's test part.

    Raises:
        UserError: the winner cannot be trained on all actors outside the fold.
    """
    started, tokens, test = time.monotonic(), job.tokens, job.fold.test
    specs = [refit_spec(job.seed, job.winner, repeat) for repeat in range(job.config.repeats)]
    partners = [*job.ensemble[1:], *further_records(job.families, [job.winner, *job.ensemble])]
    specs += [refit_spec(job.seed, record) for record in partners]
    trained = train_and_predict(tokens, job.fold.development, test, specs, job.training, seed=job.seed)
    repeats, others = _winners_own(job, trained), trained[job.config.repeats :]
    first = repeats[0]
    members = [
        Member("repeat", number, job.winner["trial"], one.spec.seed, one.probabilities)
        for number, one in enumerate(repeats)
    ]
    record = _fold_record(job, repeats)
    if job.ensemble:
        together = others[: len(job.ensemble) - 1]
        complete = [one for one in together if isinstance(one, Refit)]
        mean = np.stack([one.probabilities for one in (first, *complete)]).mean(axis=0)
        record["ensemble"] = _ensemble_record(job, together, mean)
        members += [
            Member("member", number, one.spec.trial, one.spec.seed, one.probabilities)
            for number, one in enumerate(complete, start=1)
        ]
        members.append(Member("ensemble", 0, None, None, mean))
    record["without_passes"], alone = _without_passes(job, specs[: job.config.repeats])
    members += alone
    if job.families:
        record["families"], found = family_results(tokens, test, job.families, [first, *others])
        members += found
    if job.config.calibrate:
        record["calibration"] = _calibration(job, first.probabilities)
    record |= {"curves": first.result.curves, "seconds": time.monotonic() - started}
    table = members_table(tokens, test, members) if len(members) > 1 else None
    return FoldOutcome(record, first.result.state_dict, predictions_table(tokens, test, first.probabilities), table)


def _without_passes(job: FoldEvaluation, specs: Sequence[ProbeSpec]) -> tuple[Record | None, list[Member]]:
    """The winner's repeats trained on the clean pass alone: same seeds, same order of videos.

    Nothing where training takes no augmented passes; where one of these trainings fails, the reason.
    """
    if not job.compares_passes:
        return None, []
    clean, test = replace(job.training, views="clean"), job.fold.test
    repeats = train_and_predict(job.tokens, job.fold.development, test, specs, clean, seed=job.seed)
    trained = [one for one in repeats if isinstance(one, Refit)]
    if len(trained) < len(repeats):
        failed = next(one for one in repeats if not isinstance(one, Refit))
        return {"scores": None, "repeats": [], "reason": failed.reason}, []
    found = [score(job.tokens, test, one.probabilities)[0] for one in trained]
    record = {
        "scores": {name: float(np.mean([scores[name] for scores in found])) for name in found[0]},
        "repeats": [{"seed": one.spec.seed, "scores": scores} for one, scores in zip(trained, found, strict=True)],
        "reason": None,
    }
    members = [
        Member("without_passes", number, job.winner["trial"], one.spec.seed, one.probabilities)
        for number, one in enumerate(trained)
    ]
    return record, members


def _winners_own(job: FoldEvaluation, trained: Sequence[Refit | ProbeResult]) -> list[Refit]:
    """The winner's repeats, all of which must have been trained to the end."""
    repeats = []
    for one in trained[: job.config.repeats]:
        if not isinstance(one, Refit):
            raise UserError(
                f"fold {job.fold.index}: configuration {one.spec.trial} won the search, and its refit failed "
                f"({one.reason}); narrow search.optimisation.lr"
            )
        repeats.append(one)
    return repeats


def _fold_record(job: FoldEvaluation, repeats: Sequence[Refit]) -> Record:
    """`scores` is the mean over the repeats; `confusion` and `recall`, which count videos, are the first one's."""
    found = [score(job.tokens, job.fold.test, one.probabilities) for one in repeats]
    confusion = found[0][1]
    return {
        "fold": job.fold.index,
        "selection": job.config.selection,
        "grid": list(job.tokens.store.header.shape[:-1]),
        "trial": job.winner["trial"],
        "family": job.winner["family"],
        "params": job.winner["params"],
        "inner_score": job.winner["score"],
        "scores": {name: float(np.mean([scores[name] for scores, _ in found])) for name in found[0][0]},
        "recall": _recalls(job, confusion),
        "confusion": confusion.tolist(),
        "repeats": [{"seed": one.spec.seed, "scores": scores} for one, (scores, _) in zip(repeats, found, strict=True)],
        "ensemble": None,
        "calibration": None,
        "without_passes": None,
        "families": None,
        "num_test": len(job.fold.test),
        "test_actors": sorted({job.tokens.actors[row] for row in job.fold.test}),
    }


def _recalls(job: FoldEvaluation, confusion: metrics.Confusion) -> dict[str, float | None]:
    return dict(zip(job.tokens.label_names, metrics.recall_per_class(confusion), strict=True))


def _ensemble_record(job: FoldEvaluation, others: Sequence[Refit | ProbeResult], mean: Probabilities) -> Record:
    """The scores of the mean probabilities, and in `notes` why there are fewer members than were asked for."""
    scores, confusion = score(job.tokens, job.fold.test, mean)
    notes = [
        f"the refit of configuration {one.spec.trial} failed ({one.reason}), so it is left out"
        for one in others
        if not isinstance(one, Refit)
    ]
    if len(job.ensemble) < job.config.ensemble:
        notes.append(
            f"the search has {len(job.ensemble)} of the {job.config.ensemble} complete configurations with "
            "different parameters that evaluate.ensemble asks for"
        )
    return {
        "asked": job.config.ensemble,
        "trials": [job.winner["trial"], *(one.spec.trial for one in others if isinstance(one, Refit))],
        "scores": scores,
        "recall": _recalls(job, confusion),
        "confusion": confusion.tolist(),
        "notes": notes,
    }


def _calibration(job: FoldEvaluation, probabilities: Probabilities) -> Record:
    """A temperature from the inner split alone, and what it does to the fold's test probabilities.

    The winner is trained as the search trained it, on `fold.train`, and asked about `fold.validation`.

    Raises:
        UserError: this training failed.
    """
    fold, labels = job.fold, job.tokens.labels
    seed = derived_seed(job.seed, "probe", job.winner["trial"])  # as in the search
    spec = record_spec(job.winner, seed)
    (inner,) = train_and_predict(job.tokens, fold.train, fold.validation, [spec], job.training, seed=job.seed)
    if not isinstance(inner, Refit):
        raise UserError(
            f"fold {fold.index}: the winner could not be trained on the inner training actors, which its "
            f"temperature is fitted with ({inner.reason}); set evaluate.calibrate=false"
        )
    temperature = fit_temperature(inner.probabilities, labels[fold.validation])
    return {"num_inner": len(fold.validation), **calibration_record(temperature, probabilities, labels[fold.test])}
