"""Where the scores of these settings lie, and what names them in MLflow."""

from __future__ import annotations

from functools import partial
from typing import Any

from distributed.evaluation import result_name
from distributed.manifest import Manifest
from distributed.search import Record
from distributed.storage import Storage
from distributed.token_store import TokenStore
from jobs.context import Context
from tracking.records import SCORES, mean_std, percent


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


def fold_records(context: Context, manifest: Manifest, store: TokenStore) -> list[Record]:
    """The test scores that are there so far."""
    results = results_folder(context, manifest, store)
    _, folds = context.labelled(manifest, store)
    names = [result_name(fold.index) for fold in folds]
    return [results.read_json(name) for name in names if results.exists(name)]


def results_of(context: Context) -> tuple[str, ...]:
    """A line of results: UAR, WAR, macro F1 (mean ± deviation over folds, %), chance, the report's path."""
    manifest = context.manifest()
    store = context.store(manifest)
    records = fold_records(context, manifest, store)
    values = [mean_std([record["scores"][name] for record in records]) for name in SCORES]
    page = results_folder(context, manifest, store).child("report", "report.html").uri
    return (*(percent(*value) for value in values), percent(1 / len(manifest.label_names)), page)
