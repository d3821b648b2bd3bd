"""`fersweep report`: one HTML file and its Markdown, from what the stages before left in the workspace."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from distributed.errors import UserError
from distributed.manifest import Manifest
from distributed.scored_videos import read_scored
from distributed.search import Record
from distributed.storage import Storage
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.details import details, leak_notes
from jobs.results import fold_records as fold_records
from jobs.results import results_folder, sweep_key_settings
from jobs.results import results_of as results_of
from jobs.sweep import fold_searches, found_records
from jobs.telling import tell
from jobs.tracked import embedding_measures, tracked_sweep
from jobs.uncertainty import all_bounds
from jobs.versions import code_version, library_versions
from tracking.optimism_section import optimism_section
from tracking.report import ReportData, figure_files, render_html, render_markdown

_ROAD = ("index", "embed", "sweep", "evaluate")
_TINY_NOTE = (
    "The encoder of this run is the tiny one that comes with fersweep. It was trained on drawn faces from the "
    "same drawing program (other actors, no emotion labels), so these numbers show that the road works from "
    "end to end. They say nothing about how well emotions are read from real faces, nor about V-JEPA."
)


def report(context: Context, manifest: Manifest, store: TokenStore, *, optimistic: Sequence[Record] = ()) -> Storage:
    """Write `report.html` and `report.md`, and log both with the sweep; returns their folder.

    With `optimistic` records (tracking/optimism_section.py) they are called `report-optimistic`.

    Raises:
        UserError: no fold is evaluated.
    """
    data = report_data(context, manifest, store)
    name = "report"
    if optimistic:
        name = "report-optimistic"
        data = replace(data, details=[optimism_section(data.fold_records, optimistic), *data.details])
    folder = results_folder(context, manifest, store).child("report")
    if not data.fold_records:
        raise UserError(f"{folder.uri}: no fold is evaluated with these settings; run `fersweep evaluate` first")
    texts = {f"{name}.html": render_html(data), f"{name}.md": render_markdown(data)}
    fresh = _changed(folder, {file: text.encode() for file, text in texts.items()})
    settings = sweep_key_settings(context, manifest, store)
    searches = fold_searches(context, manifest, store) if data.protocol == "nested" else []
    with context.workspace.stage("report", settings, done=not fresh):
        pictures = figure_files(data) if fresh else {}  # written first: what is killed in between is drawn again
        for file, content in {**_changed(folder, pictures), **fresh}.items():
            folder.write_bytes(file, content)
        with tracked_sweep(context, manifest, store, settings) as tracked:
            tracked.log_files(report_files(folder))
            tell(context, manifest, store, tracked, searches, found_records(searches))
    context.say(f"report: {folder.uri}/{name}.html")
    return folder


def _changed(folder: Storage, files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {n: content for n, content in files.items() if not folder.exists(n) or folder.read_bytes(n) != content}


def _in_order(stages: Collection[str]) -> list[str]:
    """Stages as the road has them, then those that a user has asked for beside it."""
    others = [name for name in stages if name not in (*_ROAD, "report")]
    return [*(name for name in _ROAD if name in stages), *others]


def report_files(folder: Storage) -> dict[str, str | bytes]:
    """The reports that are there and their figures, by their paths beside a sweep's run."""
    figures = folder.child("figures")
    files: dict[str, str | bytes] = {name: folder.read_bytes(name) for name in folder.names()}
    return files | {f"figures/{name}": figures.read_bytes(name) for name in figures.names()}


def report_data(context: Context, manifest: Manifest, store: TokenStore) -> ReportData:
    experiment, encoder = context.experiment, store.header.encoder
    nested = experiment.evaluate.selection == "nested"
    stages = context.workspace.stages()
    records = fold_records(context, manifest, store)
    scored = read_scored(results_folder(context, manifest, store)) if records else None
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
        fold_records=records,
        details=details(context, manifest, store, records, scored) if scored else [],
        probe_records=found_records(fold_searches(context, manifest, store)) if nested else [],
        failures=[(f.video_id, f.reason, f.stage) for f in store.failures()],
        skipped=[(Path(item["path"]).name, item["reason"]) for item in map(asdict, manifest.skipped)],
        stage_notes=_stage_notes(context),
        stage_seconds={name: stages[name]["seconds"] for name in _in_order(stages)},
        versions={"fersweep": code_version(), **library_versions()},
        hashes={
            "manifest": manifest.content_hash,
            "encoder weights": encoder["sha256"],
            **{f"encoder {key}": encoder[key] for key in ("revision", "config_sha256") if key in encoder},
            "videos": manifest.videos_hash,
        },
        experiment=experiment.to_yaml(),
        notes=[*([_TINY_NOTE] if encoder["name"] == "tiny" else []), *leak_notes(context, manifest)],
        **(all_bounds(scored) if scored else {}),
    )


def _stage_notes(context: Context) -> dict[str, str]:
    """A remark on a stage's time."""
    found = embedding_measures(context)
    if "wait_share" not in found:
        return {}
    text = f"{found['frames']:.0f} frames, {found['clips']:.0f} clips; encoders waited {found['wait_share']:.0%} of it"
    return {"embed": text}
