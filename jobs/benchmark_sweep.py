"""`fersweep benchmark sweep`: what Ray Tune, Optuna and MLflow cost a configuration on this machine."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from distributed.benchmark_sweep import SweepSeconds, fill_with_noise, noise_manifest
from distributed.cluster import ray_session
from distributed.errors import UserError
from distributed.search import read_pack_times
from jobs.context import Context
from jobs.experiment import load_experiment
from jobs.sweep import fold_searches, sweep

_FOLDS = 2


def benchmark_sweep(configurations: int, pack: int, console: Console) -> SweepSeconds:
    """Search two folds of noise, every configuration trained for one step, and print where the time went.

    Raises:
        UserError: the numbers make no search.
    """
    if configurations < _FOLDS or pack < 1:
        raise UserError(f"benchmark sweep: it needs at least {_FOLDS} configurations, and packs of at least 1")
    manifest = noise_manifest()
    with tempfile.TemporaryDirectory(prefix="fersweep-benchmark-") as folder:
        context = _context(Path(folder), configurations // _FOLDS, pack)
        store = context.store(manifest)
        fill_with_noise(store, manifest)
        with ray_session(context.experiment.cluster):
            began = time.time()
            sweep(context, manifest, store)
            ended = time.time()
        searches = fold_searches(context, manifest, store)
        times = [pack for search in searches for pack in read_pack_times(search.packs)]
    seconds = SweepSeconds.of(times, began, ended)
    console.print(_table(seconds))
    console.print(f"{seconds.each:.3f} s a configuration beside training, in packs of {pack}")
    return seconds


def _context(folder: Path, configurations: int, pack: int) -> Context:
    values = {
        "name": "noise",
        "data": {"format": "ravdess", "root": str(folder)},
        "encoder": {"name": "tiny"},
        "clips": {"segments": 1, "frames_per_clip": 16, "frame_step": 2},
        "tokens": {"pool": "mean"},
        "folds": {"count": _FOLDS},
        "search": {
            "configurations": configurations,
            "pack": pack,
            "optimisation": {"batch_size": [32]},  # all training videos of a fold, so that an epoch is a step
        },
        "training": {"epochs": 1, "rungs": []},
    }
    path = folder / "noise.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return Context.of(load_experiment(path), Console(quiet=True))


def _table(seconds: SweepSeconds) -> Table:
    table = Table(title=f"{seconds.configurations} configurations of one step, {seconds.workers} worker processes")
    for column in ("seconds in all", "until the first pack", "training", "between packs", "after the last pack"):
        table.add_column(column, justify="right")
    values = (seconds.total, seconds.start, seconds.training, seconds.between, seconds.end)
    table.add_row(*(f"{value:.1f}" for value in values))
    return table
