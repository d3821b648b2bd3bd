"""The figures of a sweep for MLflow, drawn again only when what they show has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from distributed.manifest import Manifest
from distributed.scored_videos import read_scored
from distributed.search import Record
from distributed.settings import settings_key
from distributed.sweep import FoldSearch
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.results import evaluation_settings, fold_records, results_folder
from jobs.timeline import embedding_spans, search_spans
from jobs.uncertainty import fold_bounds
from tracking.records import fold_numbers
from tracking.sweep_figures import Files, SweepFigures, figure_files, fold_pictures

_INPUTS = "inputs.json"
_FORMAT = 1  # another look draws all figures again


def sweep_figures(
    context: Context, manifest: Manifest, store: TokenStore, searches: Sequence[FoldSearch], probes: Sequence[Record]
) -> dict[int | None, Files]:
    """The files of the sweep's run (under None) and of the runs of its folds, kept in the workspace."""
    data = _data(context, manifest, store, searches, probes)
    folder = context.workspace.folder("figures", evaluation_settings(context, manifest, store))
    inputs = {"key": settings_key({"format": _FORMAT, **asdict(data)})}
    drawn = folder.exists(_INPUTS) and folder.read_json(_INPUTS) == inputs
    found: dict[int | None, Files] = {}
    for fold in (None, *fold_numbers(probes)):
        place = folder if fold is None else folder.child(f"fold-{fold}")
        if not drawn:
            for name, content in (figure_files(data) if fold is None else fold_pictures(data, fold)).items():
                place.write_bytes(name, content)
        names = [name for name in place.names() if name != _INPUTS]
        found[fold] = {name: place.read_bytes(name) for name in names}
    if not drawn:
        folder.write_json(_INPUTS, inputs)
    return found


def _data(
    context: Context, manifest: Manifest, store: TokenStore, searches: Sequence[FoldSearch], probes: Sequence[Record]
) -> SweepFigures:
    folds = fold_records(context, manifest, store)
    scored = read_scored(results_folder(context, manifest, store)) if folds else None
    return SweepFigures(
        title=f"{context.experiment.name}, {context.experiment.evaluate.selection} selection",
        label_names=manifest.label_names,
        probes=probes,
        folds=folds,
        fold_intervals=fold_bounds(scored) if scored else {},
        search_spans=search_spans(searches),
        embedding_spans=embedding_spans(store),
    )
