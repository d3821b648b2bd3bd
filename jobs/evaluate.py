"""`fersweep evaluate`: refit each fold's winner and score the fold once."""

from __future__ import annotations

from distributed.cluster import ray_session
from distributed.errors import UserError
from distributed.evaluation import FoldEvaluation, evaluate_folds, paper_recipe, result_name, winner_of
from distributed.manifest import Manifest
from distributed.scored_videos import read_scored
from distributed.search import Record, derived_seed
from distributed.sweep import FoldSearch, trial_resources
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.progress import progress
from jobs.results import evaluation_settings, results_folder, sweep_key_settings
from jobs.sweep import fold_searches, found_records
from jobs.tracked import tracked_sweep
from jobs.uncertainty import bounds


def evaluate(context: Context, manifest: Manifest, store: TokenStore) -> list[Record]:
    """The fold records; a fold that was scored is not scored again."""
    experiment = context.experiment
    tokens, folds = context.labelled(manifest, store)
    selection = experiment.evaluate.selection
    if selection == "paper":
        recipe = paper_recipe(store.header.encoder["heads"])
        winners = {fold.index: recipe for fold in folds}
    else:
        searches = fold_searches(context, manifest, store)
        winners = {search.fold: _searched_winner(search) for search in searches}
    results = results_folder(context, manifest, store)
    jobs = [
        FoldEvaluation(
            fold=fold,
            winner=winners[fold.index],
            tokens=tokens,
            training=experiment.training,
            selection=selection,
            seed=derived_seed(experiment.seed, "fold", fold.index),
            results=results,
        )
        for fold in folds
    ]
    scored = {fold.index for fold in folds if results.exists(result_name(fold.index))}
    settings = evaluation_settings(context, manifest, store)
    with (
        context.workspace.stage("evaluate", settings, done=len(scored) == len(folds)),
        tracked_sweep(context, manifest, store, sweep_key_settings(context, manifest, store)) as tracked,
        ray_session(experiment.cluster),
        progress(context.console, "evaluate") as report,
    ):
        report(len(scored), len(jobs), 0)

        def on_fold(record: Record) -> None:
            tracked.log_evaluation(record)
            scored.add(record["fold"])
            report(len(scored), len(jobs), 0)

        booked = trial_resources(experiment.sweep, len(jobs))
        records = evaluate_folds(jobs, on_fold, cpus=booked["cpu"], gpus=booked["gpu"])
        tracked.log_summary(records, bounds(read_scored(results)))
    return records


def _searched_winner(search: FoldSearch) -> Record:
    records = found_records([search])
    if len(records) < search.search.configurations:
        raise UserError(
            f"fold {search.fold}: {len(records)} of {search.search.configurations} configurations are "
            "searched; run `fersweep sweep` first, which goes on where it stopped"
        )
    return winner_of(search.fold, records)
