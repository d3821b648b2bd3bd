"""`fersweep report`: one HTML file and its Markdown, from what the stages before left in the workspace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from distributed.duplicates import known_duplicates
from distributed.errors import UserError
from distributed.manifest import Manifest
from distributed.scored_videos import ScoredVideos, read_scored
from distributed.search import Record
from distributed.storage import Storage
from distributed.token_store import TokenStore
from jobs.anchors import anchors_sections
from jobs.context import Context
from jobs.full_video import full_video_records
from jobs.insides import inside_sections
from jobs.results import fold_records as fold_records
from jobs.results import results_folder, sweep_key_settings
from jobs.results import results_of as results_of
from jobs.sweep import fold_searches, found_records
from jobs.tracked import tracked_sweep
from jobs.uncertainty import bounds, fold_bounds, uncertainty_section
from jobs.versions import code_version, library_versions
from tracking.calibration_section import calibration_sections
from tracking.full_video_section import full_video_section
from tracking.members_section import members_sections
from tracking.optimism_section import optimism_section
from tracking.report import ReportData, figure_files, render_html, render_markdown
from tracking.report_parts import Section

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
    files = {f"{name}.html": render_html(data), f"{name}.md": render_markdown(data)}
    fresh = {n: t.encode() for n, t in files.items() if not folder.exists(n) or folder.read_bytes(n) != t.encode()}
    settings = sweep_key_settings(context, manifest, store)
    with context.workspace.stage("report", settings, done=not fresh):
        for file, content in fresh.items():
            folder.write_bytes(file, content)
        with tracked_sweep(context, manifest, store, settings) as tracked:
            tracked.log_files({**files, **figure_files(data)})
    context.say(f"report: {folder.uri}/{name}.html")
    return folder


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
        details=_details(context, manifest, store, records, scored) if scored else [],
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
        notes=[*([_TINY_NOTE] if encoder["name"] == "tiny" else []), *_leak_notes(context, manifest)],
        intervals=bounds(scored) if scored else {},
        fold_intervals=fold_bounds(scored) if scored else {},
    )


def _leak_notes(context: Context, manifest: Manifest) -> list[str]:
    if context.experiment.data.duplicates == "ignore":
        return []
    leaks = [str(group) for group in known_duplicates(manifest, context.manifest_folder) if group.is_leak]
    text = "The same video is there under the names of different actors, so test scores may be too high:"
    return [f"{text} {'; '.join(leaks[:5])}{' ...' if len(leaks) > 5 else ''}"] if leaks else []


def _details(
    context: Context, manifest: Manifest, store: TokenStore, records: list[Record], scored: ScoredVideos
) -> list[Section]:
    """Sections that other jobs compose; what they need is computed once and kept in the workspace."""
    windows = full_video_records(context, manifest, store)
    return [
        *anchors_sections(context, manifest, store, records),
        *members_sections(records),
        *calibration_sections(records),
        *([full_video_section(windows, records)] if windows else []),
        uncertainty_section(scored, manifest),
        *inside_sections(context, manifest, store, records),
    ]
