"""Refit each fold's winner on everything outside the fold and score the fold once.

`nested`: the winner was chosen on inner validation actors that the fold's test part shares nobody with.
`paper`: the fixed recipe of the reference (DOMAIN: AdamW, 20 epochs, batch 4), nothing is chosen.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import ray
import torch
from pyarrow import parquet
from pydantic import BaseModel, ConfigDict
from safetensors.torch import save as save_safetensors

from distributed import metrics
from distributed.cluster import errors_of_workers
from distributed.errors import UserError
from distributed.folds import Fold
from distributed.labelled_tokens import LabelledTokens
from distributed.search import Record, derived_seed
from distributed.storage import Storage
from distributed.training import ProbeSpec, TrainingConfig, predict_probabilities, train_pack
from search_spaces.family import build_probe

Selection = Literal["nested", "paper"]


class EvaluateConfig(BaseModel):
    """How the probe that is scored on a fold is chosen."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    selection: Selection = "nested"


@dataclass(frozen=True)
class FoldEvaluation:
    """One fold's winner, to be refitted on `fold.development` and scored on `fold.test`."""

    fold: Fold
    winner: Record
    tokens: LabelledTokens
    training: TrainingConfig
    selection: Selection
    seed: int
    results: Storage


def winner_of(fold: int, records: Sequence[Record]) -> Record:
    """The configuration with the best inner score; the earlier one of two that are equal.

    Raises:
        UserError: no configuration of the fold ended well.
    """
    complete = [record for record in records if record["state"] == "complete"]
    if not complete:
        reasons = sorted({record["reason"] for record in records if record["reason"]})
        raise UserError(
            f"fold {fold}: none of its {len(records)} configurations could be trained to the end "
            f"({'; '.join(reasons) or 'no reason given'}); narrow search.optimisation.lr or try more of them"
        )
    return min(complete, key=lambda record: (-record["score"], record["trial"]))


def paper_recipe(heads: int) -> Record:
    """The reference's fixed recipe as if it had been found: one query, the encoder's heads, mlp ratio 4."""
    params = {
        "family": "attentive",
        "lr": 1e-3,
        "weight_decay": 0.01,
        "warmup": 0.0,
        "batch_size": 4,
        "label_smoothing": 0.0,
        "attentive.queries": 1,
        "attentive.heads": heads,
        "attentive.mlp_ratio": 4.0,
        "attentive.depth": 1,
        "attentive.dropout": 0.0,
    }
    return {"trial": None, "family": "attentive", "params": params, "score": None}


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
    while running:
        (ended, *_), _ = ray.wait(list(running), num_returns=1)
        job = running.pop(ended)
        with errors_of_workers():
            ray.get(ended)
        on_fold(job.results.read_json(result_name(job.fold.index)))
    return [job.results.read_json(result_name(job.fold.index)) for job in jobs]


def result_name(fold: int) -> str:
    return f"fold-{fold}.json"


@ray.remote(max_retries=2)  # type: ignore[untyped-decorator]
def _evaluate_fold(job: FoldEvaluation, threads: int) -> None:
    """The weights and predictions are written first: a fold counts once its record is there."""
    torch.set_num_threads(threads)
    record, weights, predictions = refit_and_score(job)
    job.results.write_bytes(f"fold-{job.fold.index}.safetensors", save_safetensors(weights))
    sink = io.BytesIO()
    parquet.write_table(predictions, sink)
    job.results.write_bytes(f"fold-{job.fold.index}.parquet", sink.getvalue())
    job.results.write_json(result_name(job.fold.index), record)


def refit_and_score(job: FoldEvaluation) -> tuple[Record, dict[str, torch.Tensor], pa.Table]:
    """The fold record, the refitted probe's weights, and a row of class probabilities per test video.

    Raises:
        UserError: the winner cannot be trained on all actors outside the fold.
    """
    started = time.monotonic()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    reader = job.tokens.reader(derived_seed(job.seed, "views"))
    seed = derived_seed(job.seed, "refit", job.winner["trial"])
    spec = ProbeSpec(job.winner["trial"] or 0, job.winner["family"], job.winner["params"], seed)
    empty = np.empty(0, np.int64)
    (result,) = train_pack(
        reader,
        job.tokens.labels,
        job.fold.development,
        empty,
        [spec],
        job.training,
        num_classes=job.tokens.num_classes,
        seed=derived_seed(job.seed, "order"),
        device=device,
    )
    if result.state != "complete":
        raise UserError(
            f"fold {job.fold.index}: configuration {spec.trial} won the search, and its refit failed "
            f"({result.reason}); narrow search.optimisation.lr"
        )
    probe = build_probe(
        spec.family, spec.params, dim=reader.shape[1], num_classes=job.tokens.num_classes, seed=spec.seed
    )
    probe.load_state_dict(result.state_dict)
    probabilities = predict_probabilities(reader, job.fold.test, [probe], device=device)[0]
    record = _fold_record(job, probabilities)
    record |= {"curves": result.curves, "seconds": time.monotonic() - started}
    return record, result.state_dict, _predictions(job, probabilities)


def _fold_record(job: FoldEvaluation, probabilities: Any) -> Record:
    truth, predicted = job.tokens.labels[job.fold.test], probabilities.argmax(axis=1)
    confusion = metrics.confusion_matrix(truth, predicted, job.tokens.num_classes)
    recall = metrics.recall_per_class(confusion)
    return {
        "fold": job.fold.index,
        "selection": job.selection,
        "trial": job.winner["trial"],
        "family": job.winner["family"],
        "params": job.winner["params"],
        "inner_score": job.winner["score"],
        "scores": metrics.scores(confusion),
        "recall": dict(zip(job.tokens.label_names, recall, strict=True)),
        "confusion": confusion.tolist(),
        "num_test": len(job.fold.test),
        "test_actors": sorted({job.tokens.actors[row] for row in job.fold.test}),
    }


def _predictions(job: FoldEvaluation, probabilities: Any) -> pa.Table:
    names, rows = job.tokens.label_names, job.fold.test
    return pa.table(
        {
            "video_id": [job.tokens.video_ids[row] for row in rows],
            "actor": [job.tokens.actors[row] for row in rows],
            "true": [names[job.tokens.labels[row]] for row in rows],
            "predicted": [names[index] for index in probabilities.argmax(axis=1)],
            **{f"p_{name}": probabilities[:, index] for index, name in enumerate(names)},
        }
    )
