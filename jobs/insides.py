"""What the report shows of single videos; computed with the first report of an evaluation, read by the next one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from distributed.cluster import ray_session
from distributed.embedding_map import embedding_map
from distributed.face_boxes import crops_of
from distributed.inspection import (
    Look,
    LookSettings,
    Verdict,
    look_at,
    pack_looks,
    surest,
    unpack_looks,
    verdicts,
)
from distributed.manifest import Manifest
from distributed.search import Record, derived_seed
from distributed.settings import settings_key
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.results import results_folder
from tracking.contact_sheets import ShownVideo
from tracking.inside_section import attention_sections, map_section, mistakes_section
from tracking.report_parts import Section


def inside_sections(
    context: Context, manifest: Manifest, store: TokenStore, records: Sequence[Record]
) -> list[Section]:
    """Mistakes, attention and the map, as far as the settings ask for them."""
    config = context.experiment.inside
    results = results_folder(context, manifest, store)
    said = [verdict for record in records for verdict in verdicts(results, record["fold"])]
    wrong = surest(said, "mistakes", len(said))
    sections: list[Section] = []
    if config.mistakes:
        chosen = wrong[: config.mistakes]
        looks = _kept_looks(context, manifest, store, chosen) if config.frames else []
        videos = [shown(look) for look in looks] or [shown(_unseen(verdict)) for verdict in chosen]
        sections.append(mistakes_section(videos, len(wrong), with_frames=config.frames))
        sections += attention_sections(videos) if config.frames else []
    found = _kept_map(context, manifest, store) if config.map_videos else None
    if found is not None:
        sections.append(map_section(found, *_columns(context, manifest, store, found["video_ids"])))
    return sections


def shown(look: Look) -> ShownVideo:
    """A look as the room of figures knows it."""
    verdict = look.verdict
    return ShownVideo(
        video_id=verdict.video_id,
        fold=verdict.fold,
        true=verdict.true,
        predicted=verdict.predicted,
        probability=verdict.probability,
        probability_of_true=verdict.probability_of_true,
        frames=look.frames,
        heats=look.heats,
        row_names=look.row_names,
        uniform=look.uniform,
        reason=look.reason,
    )


def looks_of(
    context: Context, manifest: Manifest, store: TokenStore, chosen: Sequence[Verdict], **options: Any
) -> list[Look]:
    """The frames and attention of some test videos; `options` are those of `LookSettings`."""
    experiment = context.experiment
    tokens, _ = context.labelled(manifest, store)
    paths = dict(zip(manifest.table["video_id"].to_pylist(), manifest.table["path"].to_pylist(), strict=True))
    crops = crops_of(manifest, experiment.views)
    settings = LookSettings(experiment.clips, experiment.decoding, experiment.views, crops=crops, **options)
    with ray_session(experiment.cluster):
        return look_at(chosen, paths, tokens, results_folder(context, manifest, store), settings)


def _kept_looks(context: Context, manifest: Manifest, store: TokenStore, chosen: Sequence[Verdict]) -> list[Look]:
    kept = results_folder(context, manifest, store).child("inside")
    name = f"mistakes-{settings_key({'videos': [[one.fold, one.video_id] for one in chosen]})}.npz"
    if kept.exists(name):
        return unpack_looks(kept.read_bytes(name))
    looks = looks_of(context, manifest, store, chosen) if chosen else []
    if not any(look.reason for look in looks):  # files that are away may come back
        kept.write_bytes(name, pack_looks(looks))
    return looks


def _kept_map(context: Context, manifest: Manifest, store: TokenStore) -> dict[str, Any] | None:
    kept = results_folder(context, manifest, store).child("inside")
    most = context.experiment.inside.map_videos
    name = f"map-{most}.json"
    if not kept.exists(name):
        tokens, _ = context.labelled(manifest, store)
        with ray_session(context.experiment.cluster):
            kept.write_json(name, embedding_map(tokens, most, seed=derived_seed(context.experiment.seed, "map")))
    found: dict[str, Any] | None = kept.read_json(name)
    return found


def _columns(
    context: Context, manifest: Manifest, store: TokenStore, video_ids: Sequence[str]
) -> tuple[list[str], list[str], list[str]]:
    """Class, actor and testing fold of some videos; a dash for one that no fold tests."""
    tokens, folds = context.labelled(manifest, store)
    row = {video_id: index for index, video_id in enumerate(tokens.video_ids)}
    tested = {index: str(fold.index) for fold in folds for index in fold.test.tolist()}
    rows = [row[video_id] for video_id in video_ids]
    labels = [tokens.label_names[tokens.labels[index]] for index in rows]
    return labels, [tokens.actors[index] for index in rows], [tested.get(index, "–") for index in rows]


def _unseen(verdict: Verdict) -> Look:
    """A look of which nothing is shown."""
    return Look(verdict, np.zeros((0, 1, 1, 3), np.uint8), np.zeros((0, 0, 1, 1), np.float32))
