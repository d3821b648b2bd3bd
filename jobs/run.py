"""`fersweep run` and the stages: each does only what is not done."""

from __future__ import annotations

from pathlib import Path

from distributed.cluster import ray_session
from distributed.folds import make_folds
from distributed.manifest import Manifest
from jobs.context import Context
from jobs.index import index

STAGES = ("index", "embed", "sweep", "evaluate", "report")


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
    from jobs.full_video import full_video as score_full_videos
    from jobs.transfer import transfer

    manifest = context.manifest()
    if full_video:
        score_full_videos(context, manifest, context.store(manifest))
    if on is not None:
        transfer(context, manifest, context.store(manifest), on)


def _run(context: Context, name: str, manifest: Manifest) -> None:
    """What a stage needs is imported with it: MLflow and matplotlib take two seconds that embedding need not wait."""
    if name == "embed":
        from jobs.embed import embed_videos

        embed_videos(context, manifest)
        return
    store = context.store(manifest)
    if name == "sweep":
        from jobs.sweep import sweep

        sweep(context, manifest, store)
    elif name == "evaluate":
        from jobs.evaluate import evaluate

        evaluate(context, manifest, store)
    else:
        from jobs.report import report

        report(context, manifest, store)
