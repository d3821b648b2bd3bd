"""`fersweep run` and the stages: each does only what is not done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from distributed.cluster import ray_session
from distributed.folds import make_folds
from distributed.manifest import Manifest
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.embed import embed_videos
from jobs.evaluate import evaluate
from jobs.full_video import full_video as score_full_videos
from jobs.index import index
from jobs.report import report
from jobs.sweep import sweep
from jobs.transfer import transfer

STAGES = ("index", "embed", "sweep", "evaluate", "report")

_AFTER_EMBEDDING: dict[str, Callable[[Context, Manifest, TokenStore], object]] = {
    "sweep": sweep,
    "evaluate": evaluate,
    "report": report,
}


def run_up_to(context: Context, last: str) -> None:
    """Every stage up to `last`, on one Ray. Folds and probes that cannot be made are refused before embedding."""
    manifest = index(context)
    if last not in STAGES[:2]:
        make_folds(manifest.table, manifest.label_names, context.experiment.folds)
        if context.experiment.evaluate.selection != "paper":
            context.experiment.search.check(dim=context.store(manifest).header.shape[-1])
    with ray_session(context.experiment.cluster):
        for name in STAGES[1 : STAGES.index(last) + 1]:
            _run(context, name, manifest)


def run_stage(context: Context, name: str) -> None:
    """One stage, from what the stage before it left in the workspace."""
    if name == "index":
        index(context)
    else:
        _run(context, name, context.manifest())


def evaluate_further(context: Context, *, full_video: bool, on: Path | None) -> None:
    """What can be asked of the winners once every fold is scored; the next report shows it."""
    manifest = context.manifest()
    if full_video:
        score_full_videos(context, manifest, context.store(manifest))
    if on is not None:
        transfer(context, manifest, context.store(manifest), on)


def _run(context: Context, name: str, manifest: Manifest) -> None:
    if name == "embed":
        embed_videos(context, manifest)
    else:
        _AFTER_EMBEDDING[name](context, manifest, context.store(manifest))
