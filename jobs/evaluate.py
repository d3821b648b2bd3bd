"""`fersweep evaluate`: refit each fold's winner and score the fold once."""

from __future__ import annotations

from distributed.cluster import ray_session
from distributed.errors import UserError
from distributed.evaluation import FoldEvaluation, evaluate_folds, result_name
from distributed.manifest import Manifest
from distributed.scored_videos import read_scored
from distributed.search import Record, derived_seed
from distributed.selection import best_of, best_of_families, paper_recipe
from distributed.sweep import FoldSearch, trial_resources
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.progress import progress
from jobs.registration import register_winners
from jobs.results import evaluation_settings, results_folder, sweep_key_settings
from jobs.sweep import fold_searches, found_records
from jobs.tracked import tracked_sweep
from jobs.uncertainty import bounds


def fold_evaluations(context: Context, manifest: Manifest, store: TokenStore) -> list[FoldEvaluation]:
    """What is refitted and scored, fold by fold.

    Raises:
        UserError: a fold's search is not finished, or none of its configurations was trained to the end.
    """
    experiment, config = context.experiment, context.experiment.evaluate
    tokens, folds = context.labelled(manifest, store)
    if config.selection == "paper":
        recipe = paper_recipe(store.header.encoder["heads"])
        best, families = {fold.index: [recipe] for fold in folds}, {}
    else:
        searched = {one.fold: _searched(one) for one in fold_searches(context, manifest, store)}
        best = {fold: best_of(fold, records, max(config.ensemble, 1)) for fold, records in searched.items()}
        families = {fold: best_of_families(fold, records) for fold, records in searched.items() if config.families}
    results = results_folder(context, manifest, store)
    return [
        FoldEvaluation(
            fold=fold,
            winner=best[fold.index][0],
            tokens=tokens,
            training=experiment.training,
            config=config,
            seed=derived_seed(experiment.seed, "fold", fold.index),
            results=results,
            ensemble=tuple(best[fold.index]) if config.ensemble else (),
            families=tuple(families.get(fold.index, ())),
        )
        for fold in folds
    ]


def evaluate(context: Context, manifest: Manifest, store: TokenStore) -> list[Record]:
    """The fold records; a fold that was scored is not scored again."""
    jobs = fold_evaluations(context, manifest, store)
    scored = {job.fold.index for job in jobs if job.results.exists(result_name(job.fold.index))}
    settings = evaluation_settings(context, manifest, store)
    with (
        context.workspace.stage("evaluate", settings, done=len(scored) == len(jobs)),
        tracked_sweep(context, manifest, store, sweep_key_settings(context, manifest, store)) as tracked,
        ray_session(context.experiment.cluster),
        progress(context.console, "evaluate") as report,
    ):
        report(len(scored), len(jobs), 0)

        def on_fold(record: Record) -> None:
            tracked.log_evaluation(record)
            scored.add(record["fold"])
            report(len(scored), len(jobs), 0)

        booked = trial_resources(context.experiment.sweep, len(jobs))
        records = evaluate_folds(jobs, on_fold, cpus=booked["cpu"], gpus=booked["gpu"])
        tracked.log_summary(records, bounds(read_scored(results_folder(context, manifest, store))))
    for record in records:
        for note in (record["ensemble"] or {}).get("notes", []):
            context.say(f"  fold {record['fold']}: a smaller ensemble than asked for; {note}")
        for family in record["families"] or ():
            if family["reason"]:
                context.say(f"  fold {record['fold']}: {family['family']} is not scored; {family['reason']}")
    register_winners(context, manifest, store)
    return records


def _searched(search: FoldSearch) -> list[Record]:
    """Every configuration of a finished search."""
    records = found_records([search])
    if len(records) < search.search.configurations:
        raise UserError(
            f"fold {search.fold}: {len(records)} of {search.search.configurations} configurations are "
            "searched; run `fersweep sweep` first, which goes on where it stopped"
        )
    return records
