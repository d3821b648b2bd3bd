"""One study and one Tuner per fold, each in a Ray task of its own; a Tune trial trains one pack.

A trial writes what its pack has shown to one file; that file is the only channel. Searchers, the caller's
progress and a later resume all read it there.
"""

from __future__ import annotations

import math
import os
import platform
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import ray
import torch
from pydantic import BaseModel, ConfigDict, Field
from ray import tune
from ray.tune.execution import class_cache

from distributed.cluster import beside_the_driver, is_for_the_user
from distributed.errors import UserError
from distributed.labelled_tokens import LabelledTokens, Rows
from distributed.placement import trial_share
from distributed.scratch import scratch_folder
from distributed.search import (
    REFUSED,
    PackSearcher,
    Record,
    SearchConfig,
    SearchProblem,
    derived_seed,
    pack_name,
    read_packs,
)
from distributed.storage import Storage
from distributed.threads import use_threads
from distributed.training import ProbeSpec, TrainingConfig, probe_record, train_pack
from distributed.turns import turn


class SweepConfig(BaseModel):
    """What a trial may use. Unset, the folds share the machine or the cluster evenly."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    packs_at_once: int = Field(1, ge=1, description="packs of one fold that train side by side")
    cpus_per_trial: float | None = Field(None, gt=0)
    gpus_per_trial: float | None = Field(None, ge=0)
    retries: int = Field(2, ge=0, description="times that a pack is trained again when its process died")


@dataclass(frozen=True)
class FoldSearch:
    """One fold's search: the rows of its two inner parts, never those of its test part."""

    fold: int
    train: Rows
    validation: Rows
    tokens: LabelledTokens
    search: SearchConfig
    training: TrainingConfig
    packs: Storage
    seed: int
    resources: dict[str, float] = field(default_factory=dict)


class PackTrial(tune.Trainable):  # type: ignore[misc]
    """Trains one pack to its end in one step. The process and its mapped tokens are reused by later packs."""

    def setup(self, config: dict[str, Any], job: FoldSearch) -> None:
        self.job = job
        use_threads(max(1, math.floor(job.resources.get("cpu", 1))))
        self.reader = job.tokens.reader(derived_seed(job.seed, "views"), job.training.views)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config = new_config
        return True

    def step(self) -> dict[str, Any]:
        try:
            with turn() if self._shares_a_cpu else nullcontext():
                return self._trained()
        except (UserError, OSError) as error:
            if not is_for_the_user(error):
                raise
            return {"score": 0.0, "done": True, REFUSED: error}  # raised, it would be tried again in a new process

    @property
    def _shares_a_cpu(self) -> bool:
        return self.job.resources.get("cpu", 1) < 1 and not self.job.resources.get("gpu")

    def _trained(self) -> dict[str, Any]:
        job, pack, started = self.job, self.config["pack"], time.time()
        specs = [
            ProbeSpec(number, params["family"], params, derived_seed(job.seed, "probe", number))
            for number, params in zip(job.search.trials_of(pack), self.config["params"], strict=True)
        ]
        results = train_pack(
            self.reader,
            job.tokens.labels,
            job.train,
            job.validation,
            specs,
            job.training,
            num_classes=job.tokens.num_classes,
            seed=derived_seed(job.seed, "order"),
            device="cuda" if torch.cuda.is_available() else "cpu",
            names=job.tokens.video_ids,
        )
        records = [probe_record(result, job.fold, pack) for result in results]
        ran = {"node": platform.node(), "process": os.getpid(), "started": started, "ended": time.time()}
        job.packs.write_json(pack_name(pack), {"fold": job.fold, "pack": pack, "ran": ran, "records": records})
        scores = [record["score"] for record in records if record["state"] == "complete"]
        return {"score": max(scores, default=0.0), "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """A pack is trained in one step; what it has shown is its file."""

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to load: a pack whose process died is trained anew."""


def run_sweep(jobs: Sequence[FoldSearch], config: SweepConfig, on_pack: Callable[[list[Record]], None]) -> None:
    """Search all folds at once; `on_pack` hears of every pack's records once, those of earlier runs first.

    Raises:
        RuntimeError: a fold's search could not be finished; the others were, and a rerun continues.
    """
    heard: dict[int, set[int]] = {job.fold: set() for job in jobs}
    _report_new(jobs, heard, on_pack)
    resources = trial_resources(config, len(jobs), side_by_side=True)
    search = _search_fold.options(scheduling_strategy=beside_the_driver())
    running = [search.remote(job, config, resources) for job in jobs if len(heard[job.fold]) < job.search.num_packs]
    failed: list[Exception] = []
    while running:
        ended, running = ray.wait(running, timeout=0.25)
        _report_new(jobs, heard, on_pack)
        for task in ended:
            try:
                ray.get(task)
            except ray.exceptions.RayTaskError as error:
                failed.append(error)
    _report_new(jobs, heard, on_pack)
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(jobs)} folds could not be searched") from failed[0]


def _report_new(
    jobs: Sequence[FoldSearch], heard: dict[int, set[int]], on_pack: Callable[[list[Record]], None]
) -> None:
    for job in jobs:
        for pack, records in sorted(read_packs(job.packs, heard[job.fold]).items()):
            heard[job.fold].add(pack)
            on_pack(records)


def trial_resources(config: SweepConfig, num_folds: int, *, side_by_side: bool = False) -> dict[str, float]:
    """The `cpu` and `gpu` that one trial books; the folds share what there is (see `placement.trial_share`).

    `side_by_side`: with more folds than CPUs they share the CPUs, up to four trials on one, which take turns. Folds
    one after the other would keep their CPUs until they end, and the last of an odd number leaves the others idle.
    """
    at_once = num_folds * config.packs_at_once
    return trial_share(at_once, config.cpus_per_trial, config.gpus_per_trial, side_by_side=side_by_side)


@ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]
def _search_fold(job: FoldSearch, config: SweepConfig, resources: dict[str, float]) -> None:
    """A process of its own, since Tuners in threads of one process disturb each other."""
    # Not as a `runtime_env`: trials would inherit it, and processes that are there already could not be used.
    os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
    # Tune gives trials the AWS keys of this process as a setting, and Ray writes settings to its logs. Nodes have
    # their own, as those that embed do.
    class_cache.ENV_VARS_TO_PROPAGATE = {
        name for name in class_cache.ENV_VARS_TO_PROPAGATE if not name.startswith("AWS_")
    }
    # Tune registers a trainable by its name for the whole cluster: with one name, a fold's trials could be
    # handed the class, and with it the data, of another fold that is searched at the same time.
    trainable = type(f"PackTrial_{uuid.uuid4().hex}", (PackTrial,), {})
    job = FoldSearch(**{**job.__dict__, "resources": resources})
    there = failed = 0  # packs that have ended, and failures since the last of them
    while errors := _search_on(job, config, trainable):
        ended = len(read_packs(job.packs))
        failed, there = (1 if ended > there else failed + 1), ended
        if failed > config.retries:
            raise RuntimeError(f"fold {job.fold}: {len(errors)} packs failed") from errors[0]


def _search_on(job: FoldSearch, config: SweepConfig, trainable: type[PackTrial]) -> list[Exception]:
    """Search from the packs that have ended to the end, or to the errors of packs that have not.

    Tune itself would try a pack again whose process died, but not one whose process died while it started.
    """
    dim = job.tokens.store.header.shape[-1]
    searcher = PackSearcher(SearchProblem(job.search, job.packs, dim, job.seed, config.packs_at_once))
    if not searcher.num_left:
        return []
    with scratch_folder("tune") as scratch:
        results = tune.Tuner(
            tune.with_resources(tune.with_parameters(trainable, job=job), job.resources),
            tune_config=tune.TuneConfig(
                metric="score",
                mode="max",
                search_alg=searcher,
                num_samples=searcher.num_left,
                max_concurrent_trials=config.packs_at_once,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=f"fold-{job.fold}",
                storage_path=str(scratch),
                verbose=0,
                # Written from the trial's node to the scratch folder of this one, a checkpoint would be an error.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()
    for result in results:
        if REFUSED in (result.metrics or {}):
            raise result.metrics[REFUSED]
    errors: list[Exception] = results.errors
    return errors
