"""`fersweep evaluate`: refit each fold's winner and score the fold once."""

from __future__ import annotations

from functools import partial
from typing import Any

from distributed.cluster import ray_session
from distributed.errors import UserError
from distributed.evaluation import FoldEvaluation, evaluate_folds, paper_recipe, winner_of
from distributed.manifest import Manifest
from distributed.search import Record, derived_seed
from distributed.storage import Storage
from distributed.sweep import FoldSearch
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.progress import progress
from jobs.sweep import fold_searches, found_records
from jobs.tracked import tracked_sweep


def evaluation_settings(context: Context, manifest: Manifest, store: TokenStore) -> dict[str, Any]:
    """What decides the scores: with the fixed recipe the search has no part in them."""
    settings = context.search_settings(manifest, store)
    selection = context.experiment.evaluate.selection
    if selection == "paper":
        settings = {key: value for key, value in settings.items() if key not in ("search", "packs_at_once")}
    return {**settings, "evaluate": context.experiment.evaluate.model_dump(mode="json")}


def sweep_key_settings(context: Context, manifest: Manifest, store: TokenStore) -> dict[str, Any]:
    """What names the sweep in MLflow: its search or, with the fixed recipe, its evaluation."""
    nested = context.experiment.evaluate.selection == "nested"
    settings = context.search_settings if nested else partial(evaluation_settings, context)
    return settings(manifest, store)


def results_folder(context: Context, manifest: Manifest, store: TokenStore) -> Storage:
    return context.workspace.folder("evaluation", evaluation_settings(context, manifest, store))


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
    done: list[Record] = []
    with (
        context.workspace.stage("evaluate", evaluation_settings(context, manifest, store)),
        tracked_sweep(context, manifest, store, sweep_key_settings(context, manifest, store)) as tracked,
        ray_session(experiment.cluster),
        progress(context.console, "evaluate") as report,
    ):
        report(0, len(jobs), 0)

        def on_fold(record: Record) -> None:
            done.append(record)
            tracked.log_evaluation(record)
            report(len(done), len(jobs), 0)

        records = evaluate_folds(jobs, on_fold)
        tracked.log_summary(records)
    return records


def _searched_winner(search: FoldSearch) -> Record:
    records = found_records([search])
    if len(records) < search.search.configurations:
        raise UserError(
            f"fold {search.fold}: {len(records)} of {search.search.configurations} configurations are "
            "searched; run `fersweep sweep` first, which goes on where it stopped"
        )
    return winner_of(search.fold, records)
