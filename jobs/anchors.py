"""What the report places the score beside; the probe on colours is trained when the report first needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import ray

from distributed.cluster import errors_of_workers, ray_session
from distributed.manifest import Manifest
from distributed.mean_pixels import ColourSettings, is_read, read_colours, score_on_worker
from distributed.search import Record
from distributed.settings import settings_key
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.progress import progress
from jobs.results import results_folder
from tracking.anchors_section import Anchors, anchors_section
from tracking.report_parts import Section

_NOTHING_DECODES = "The probe on colours is missing here: none of the videos can be decoded from where they were."


def anchors_sections(
    context: Context, manifest: Manifest, store: TokenStore, records: Sequence[Record]
) -> list[Section]:
    """The section of anchors for the folds that are scored."""
    switched_on = context.experiment.anchors.mean_pixel
    scored = {record["fold"] for record in records}
    colours = colour_records(context, manifest, store) if switched_on else []
    anchors = Anchors(
        dataset=str(manifest.table["dataset"][0].as_py()),
        label_names=manifest.label_names,
        fold_records=records,
        colours=[record for record in colours if record["fold"] in scored],
        note="" if colours or not switched_on else _NOTHING_DECODES,
        drawn=store.header.encoder["name"] == "tiny",
    )
    return [anchors_section(anchors)]


def colour_records(context: Context, manifest: Manifest, store: TokenStore) -> list[Record]:
    """The scores of the probe on colours, on the run's folds; a second call reads them from the workspace."""
    experiment = context.experiment
    tokens, folds = context.labelled(manifest, store)
    settings = {
        "videos": settings_key({"ids": tokens.video_ids}),
        "root": experiment.data.root,
        "clips": asdict(experiment.clips),
        "grid": experiment.anchors.grid,
    }
    kept = results_folder(context, manifest, store).child("anchors")
    name = f"colours-{settings_key(settings)}.json"
    if kept.exists(name):
        return list(kept.read_json(name))
    folder = context.workspace.folder("colours", settings)
    paths = dict(zip(manifest.table["video_id"].to_pylist(), manifest.table["path"].to_pylist(), strict=True))
    chosen = ColourSettings(experiment.clips, experiment.decoding, experiment.anchors.grid)
    with ray_session(experiment.cluster), errors_of_workers():
        if not is_read(len(tokens.video_ids), folder):
            context.say("report: the mean colours of every video are read once, for the anchors")
        with progress(context.console, "report: colours") as told:
            colours = read_colours([paths[video] for video in tokens.video_ids], chosen, folder, told)
        records = ray.get(score_on_worker.remote(colours, tokens.labels, folds, tokens.label_names, experiment.seed))
    if is_read(len(tokens.video_ids), folder):
        kept.write_json(name, records)
    return list(records)
