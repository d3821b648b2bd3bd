"""`fersweep report`: one HTML file and its Markdown, from what the stages before left in the workspace."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from distributed.evaluation import result_name
from distributed.manifest import Manifest
from distributed.search import Record
from distributed.storage import Storage
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.evaluate import results_folder, sweep_key_settings
from jobs.sweep import fold_searches, found_records
from jobs.tracked import tracked_sweep
from jobs.versions import code_version, library_versions
from tracking.records import SCORES, mean_std, percent
from tracking.report import ReportData, figure_files, render_html, render_markdown

_TINY_NOTE = (
    "The encoder of this run is the tiny one that comes with fersweep. It was trained on drawn faces from the "
    "same drawing program (other actors, no emotion labels), so these numbers show that the road works from "
    "end to end. They say nothing about how well emotions are read from real faces, nor about V-JEPA."
)


def report(context: Context, manifest: Manifest, store: TokenStore) -> Storage:
    """Write `report.html` and `report.md`, and log both with the sweep; returns their folder."""
    data = report_data(context, manifest, store)
    folder = results_folder(context, manifest, store).child("report")
    files: dict[str, str | bytes] = {"report.html": render_html(data), "report.md": render_markdown(data)}
    settings = sweep_key_settings(context, manifest, store)
    with context.workspace.stage("report", settings):
        for name, text in files.items():
            folder.write_bytes(name, text.encode() if isinstance(text, str) else text)
        with tracked_sweep(context, manifest, store, settings) as tracked:
            tracked.log_files({**files, **figure_files(data)})
    context.say(f"report: {folder.uri}/report.html")
    return folder


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


def report_data(context: Context, manifest: Manifest, store: TokenStore) -> ReportData:
    experiment, encoder = context.experiment, store.header.encoder
    nested = experiment.evaluate.selection == "nested"
    stages = context.workspace.stages()
    return ReportData(
        title=experiment.name,
        protocol=experiment.evaluate.selection,
        dataset=str(manifest.table["dataset"][0].as_py()),
        label_names=manifest.label_names,
        encoder=f"{encoder['name']}, {encoder['resolution']} px, {encoder['dim']} wide",
        counts={
            "videos": len(manifest.table),
            "actors": len(set(manifest.table["actor"].to_pylist())),
            "classes": len(manifest.label_names),
        },
        fold_records=fold_records(context, manifest, store),
        probe_records=found_records(fold_searches(context, manifest, store)) if nested else [],
        failures=[(f.video_id, f.reason, f.stage) for f in store.failures()],
        skipped=[(Path(item["path"]).name, item["reason"]) for item in map(asdict, manifest.skipped)],
        stage_seconds={name: stages[name]["seconds"] for name in stages if name != "report"},
        versions={"fersweep": code_version(), **library_versions()},
        hashes={
            "manifest": manifest.content_hash,
            "encoder weights": encoder["sha256"],
            "videos": manifest.videos_hash,
        },
        experiment=experiment.to_yaml(),
        notes=[_TINY_NOTE] if encoder["name"] == "tiny" else [],
    )
