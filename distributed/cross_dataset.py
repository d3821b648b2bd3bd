"""Every fold's winner of one experiment scores all videos of another one, whose tokens are of the same kind."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import ray
import torch
from pyarrow import parquet

from distributed.cluster import finish
from distributed.errors import UserError
from distributed.labelled_tokens import LabelledTokens
from distributed.prediction import predict_probabilities
from distributed.search import Record
from distributed.settings import differences
from distributed.storage import Storage
from distributed.threads import use_threads
from distributed.token_store import StoreHeader
from distributed.transfer import OTHER, ClassMap, answers, transfer_scores
from distributed.views import ViewsConfig
from distributed.winners import load_winner


@dataclass(frozen=True)
class FoldTransfer:
    """The winner of a fold in `results`, which knows the classes `source_names`, and the videos that it scores."""

    fold: int
    results: Storage
    source_names: tuple[str, ...]
    tokens: LabelledTokens
    classes: ClassMap
    folder: Storage

    @property
    def name(self) -> str:
        return f"fold-{self.fold}"


def check_same_tokens(source: StoreHeader, target: StoreHeader) -> None:
    """Raise UserError unless two stores hold tokens of the same kind, naming every difference.

    Which 16-bit number keeps them may differ, and so may augmented passes: what is scored is clean.
    """
    ours, theirs = (
        {
            "encoder": header["encoder"],
            "clips": header["clips"],
            "views": ViewsConfig.clean_of(header["view_settings"]).in_force(),
            "pool": header["pool"],
        }
        for header in (source.to_json(), target.to_json())
    )
    if found := differences(ours, theirs):
        raise UserError(
            f"the two experiments' tokens are of different kinds (the first experiment's there, the other's here: "
            f"{'; '.join(found)}); embed one of them again with the other's settings"
        )


def shared_actors(source: Sequence[str], target: Sequence[str]) -> list[str]:
    """Actors of the same name in both: a winner may have been trained on them."""
    return sorted(set(source) & set(target))


def score_transfers(
    jobs: Sequence[FoldTransfer], on_fold: Callable[[Record], None], *, cpus: float = 1, gpus: float = 0
) -> list[Record]:
    """Score the folds that are not scored yet, all at once; `on_fold` hears of each once.

    Each leaves `fold-K.parquet`, a row of answers and probabilities for every video, and then `fold-K.json`.
    Returns the records in the order of `jobs`: the fold and `transfer.transfer_scores`.

    Raises:
        UserError: a fold has no winner.
    """
    running = {}
    for job in jobs:
        if job.folder.exists(f"{job.name}.json"):
            on_fold(job.folder.read_json(f"{job.name}.json"))
        else:
            task = _score_fold.options(num_cpus=cpus, num_gpus=gpus)
            running[task.remote(job, max(1, math.floor(cpus)))] = job
    for job, _ in finish(running):
        on_fold(job.folder.read_json(f"{job.name}.json"))
    return [job.folder.read_json(f"{job.name}.json") for job in jobs]


@ray.remote(max_retries=2)  # type: ignore[untyped-decorator]
def _score_fold(job: FoldTransfer, threads: int) -> None:
    use_threads(threads)
    record, table = score_fold(job)
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    job.folder.write_bytes(f"{job.name}.parquet", sink.getvalue())
    job.folder.write_json(f"{job.name}.json", record)


def score_fold(job: FoldTransfer) -> tuple[Record, pa.Table]:
    """The fold's record, and a row for each video: its true class, each variant's answer, all probabilities.

    Raises:
        UserError: the fold has no winner.
    """
    reader = job.tokens.reader(0)
    winner = load_winner(job.results, job.fold, dim=reader.shape[1], num_classes=len(job.source_names))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    probabilities = predict_probabilities(reader, np.arange(reader.num_videos), [winner.probe], device=device)[0]
    record = {"fold": job.fold, **transfer_scores(job.tokens.labels, probabilities, job.classes)}
    names = np.array([*job.classes.names, OTHER])
    table = pa.table(
        {
            "video_id": job.tokens.video_ids,
            "actor": job.tokens.actors,
            "true": [job.tokens.label_names[label] for label in job.tokens.labels],
            "left_out": job.classes.target[job.tokens.labels] < 0,
            **{variant: names[found] for variant, found in answers(probabilities, job.classes).items()},
            **{f"p_{name}": probabilities[:, column] for column, name in enumerate(job.source_names)},
        }
    )
    return record, table
