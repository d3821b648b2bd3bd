"""A sweep over synthetic tokens with a real Ray and a real Tune."""

from __future__ import annotations

import gc
import importlib
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from distributed.errors import UserError
from distributed.labelled_tokens import LabelledTokens
from distributed.search import SearchConfig, derived_seed, read_packs
from distributed.storage import Storage
from distributed.sweep import FoldSearch, SweepConfig, _search_fold, run_sweep, trial_resources
from distributed.training import ProbeSpec, TrainingConfig, train_pack
from tests.accidents import DeadlyOnce, small_disk
from tests.synthetic import synthetic_tokens

pytestmark = pytest.mark.usefixtures("shared_ray")
Records = dict[tuple[int, int], dict[str, Any]]


def searches(folder: Path, **changes: Any) -> list[FoldSearch]:
    tokens, folds = synthetic_tokens(folder / "store", folds=2)
    return [
        FoldSearch(
            fold=fold.index,
            train=fold.train,
            validation=fold.validation,
            tokens=tokens,
            search=SearchConfig(configurations=6, pack=2, random_first=2, **changes),
            training=TrainingConfig(epochs=3, rungs=()),
            packs=Storage.at(folder / "sweep" / f"fold-{fold.index}"),
            seed=derived_seed(0, "fold", fold.index),
        )
        for fold in folds
    ]


def sweep(jobs: list[FoldSearch], config: SweepConfig | None = None) -> Records:
    """Run it; the records by fold and number, each of which must be heard of once."""
    heard: Records = {}

    def on_pack(records: list[dict[str, Any]]) -> None:
        for record in records:
            assert (record["fold"], record["trial"]) not in heard
            heard[record["fold"], record["trial"]] = record

    run_sweep(jobs, config or SweepConfig(), on_pack)
    return heard


def without_times(records: Records) -> Records:
    return {key: {**record, "seconds": None} for key, record in records.items()}


def test_every_configuration_of_every_fold_is_trained_once_and_again_the_same(tmp_path: Path) -> None:
    jobs = searches(tmp_path / "a")
    first = sweep(jobs)
    assert set(first) == {(fold, trial) for fold in (0, 1) for trial in range(6)}
    assert all(record["state"] == "complete" and len(record["curves"]) == 3 for record in first.values())
    assert all(set(record["params"]) >= {"family", "lr", "batch_size"} for record in first.values())
    # A second run hears of everything and trains nothing: not even the seconds differ.
    assert sweep(jobs) == first
    # Another sweep with the same seed finds the same, number by number.
    assert without_times(sweep(searches(tmp_path / "b"))) == without_times(first)

    # A sweep that lost its last packs goes on to the same result.
    for job in jobs:
        job.packs.delete("pack-00002.json")
    jobs[1].packs.delete("pack-00001.json")
    resumed = sweep(jobs)
    assert without_times(resumed) == without_times(first)
    assert resumed[0, 0] == first[0, 0], "a configuration that had ended was trained again"


def test_two_packs_at_once(tmp_path: Path) -> None:
    jobs = searches(tmp_path)[:1]
    found = sweep(jobs, SweepConfig(packs_at_once=2, cpus_per_trial=1))
    assert sorted(found) == [(0, trial) for trial in range(6)]
    assert sorted(read_packs(jobs[0].packs)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("folds", "settings", "cpu"),
    [(1, {}, 2.0), (2, {}, 1.0), (5, {}, 0.4), (2, {"packs_at_once": 3}, 0.33), (24, {}, 0.25)],
)
def test_folds_share_the_two_cpus_so_that_none_is_left_to_the_end(
    folds: int, settings: dict[str, Any], cpu: float
) -> None:
    assert trial_resources(SweepConfig(**settings), folds, side_by_side=True) == {"cpu": cpu, "gpu": 0.0}
    assert trial_resources(SweepConfig(**settings), folds)["cpu"] == max(1.0, cpu)
    asked = SweepConfig(**settings, cpus_per_trial=1.5)
    assert trial_resources(asked, folds, side_by_side=True)["cpu"] == 1.5


def test_a_fold_that_cannot_be_searched_is_an_error_and_the_other_one_ends(tmp_path: Path) -> None:
    jobs = searches(tmp_path)
    broken = replace(jobs[0], tokens=replace(jobs[0].tokens, video_ids=("nobody", *jobs[0].tokens.video_ids[1:])))
    with pytest.raises(RuntimeError, match="1 of 2 folds"):
        sweep([broken, jobs[1]], SweepConfig(retries=0))
    assert sorted(read_packs(jobs[1].packs)) == [0, 1, 2]


def test_a_pack_whose_process_dies_while_it_starts_is_trained_after_all(tmp_path: Path) -> None:
    whole, dying = searches(tmp_path / "a")[:1], searches(tmp_path / "b")[:1]
    tokens = DeadlyOnce(**vars(dying[0].tokens))
    found = sweep([replace(dying[0], tokens=tokens)])
    assert list(tmp_path.glob("b/*.opened")) and without_times(found) == without_times(sweep(whole))


def test_a_full_disk_below_tunes_own_folder_is_one_error_and_a_later_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, *_ = jobs = searches(tmp_path)[:1]
    first = sweep(jobs)
    job.packs.delete("pack-00002.json")
    for name in ("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "RAY_AIR_NEW_OUTPUT"):
        monkeypatch.setenv(name, "")  # the search sets them; this puts them back
    with small_disk(tmp_path / "disk", 1) as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk.leave(0)))  # as a process that used it before it was full
        with pytest.raises(UserError) as error:
            _search_fold._function(job, SweepConfig(), {"cpu": 1.0, "gpu": 0.0})
    assert str(error.value) == (
        f"{disk.place}: no space left on the disk of this machine's temporary files; free some, or let TMPDIR name a "
        "folder on a larger disk"
    )
    assert not job.packs.exists("pack-00002.json")
    monkeypatch.undo()
    resumed = sweep(jobs)
    assert without_times(resumed) == without_times(first)
    assert all(resumed[0, trial] == first[0, trial] for trial in range(4)), "what had ended was trained again"


@ray.remote(num_cpus=1)
class Worker:
    """A process that trains as a trial does, and says what memory is its own, in bytes."""

    def __init__(self) -> None:
        importlib.import_module("distributed.sweep")  # with torch and Tune, as every trial's process

    def own_memory(self) -> int:
        gc.collect()
        # Not pages of files: the system counts a mapped page as a process's own when it has taken it from the others.
        status = Path("/proc/self/status").read_text()
        return 1024 * sum(int(kb) for kb in re.findall(r"^(?:RssAnon|VmSwap):\s+(\d+) kB$", status, re.MULTILINE))

    def train(self, tokens: LabelledTokens, batch_size: int) -> int:
        """Train one small pack on all videos; the most memory of its own at the end of an epoch."""
        rows = np.arange(len(tokens.labels))
        params = {"linear.dropout": 0.0, "batch_size": batch_size}
        specs = [ProbeSpec(number, "linear", params, number) for number in range(2)]
        self.reader = tokens.reader(0)  # stays mapped, as that of a trial does
        seen: list[int] = []
        train_pack(
            self.reader,
            tokens.labels,
            rows,
            rows,
            specs,
            TrainingConfig(epochs=8, rungs=()),
            num_classes=3,
            seed=0,
            on_epoch=lambda *_: seen.append(self.own_memory()),
        )
        return max(seen)


@pytest.mark.parametrize("shape", [(2, 2, 8, 16, 1280), (1, 1, 8, 8, 1280)], ids=["as mapped", "standardised"])
def test_another_trial_on_a_node_costs_little_memory(shape: tuple[int, int, int, int, int], tmp_path: Path) -> None:
    """Both map up to 94 MB of tokens; the second has its batches and what it keeps to itself, and nothing else."""
    tokens, _ = synthetic_tokens(tmp_path, shape=shape)
    workers = [Worker.remote() for _ in range(2)]  # type: ignore[attr-defined]
    ray.get(workers[0].train.remote(tokens, 4))
    idle = ray.get(workers[1].own_memory.remote())
    assert ray.get(workers[1].train.remote(tokens, 4)) - idle < 50e6
    for worker in workers:
        ray.kill(worker)
