"""The header of the store that an embedding will fill: all that decides its bytes, before anything is done."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from distributed.embedding_workers import EmbeddingConfig, EmbeddingSettings
from distributed.encoders import encoder_spec
from distributed.errors import UserError
from distributed.face_boxes import boxes_sha256, crops_of
from distributed.manifest import Manifest
from distributed.pooling import pooled_grid
from distributed.token_store import StoreHeader, parts_per_shard
from distributed.views import ViewsConfig


def plan_store(manifest: Manifest, settings: EmbeddingSettings) -> StoreHeader:
    """The header of the store that this embedding fills; reads the weights' hash, starts nothing.

    Raises:
        UserError: the encoder, the clips and the pooling do not fit together.
    """
    spec = encoder_spec(settings.encoder)
    frames = settings.clips.frames_per_clip
    if spec.frames not in (1, frames):  # an encoder of single images takes clips of any length
        raise UserError(
            f"clips.frames_per_clip is {frames}, and the encoder {spec.name} takes {spec.frames}; "
            f"set it to {spec.frames}"
        )
    try:
        grid = pooled_grid(settings.tokens.pool, (settings.clips.segments, *spec.grid_of(frames)))
    except ValueError as error:
        raise UserError(str(error)) from error
    per_part, views = settings.embedding.videos_per_task, settings.views.names + settings.views.pass_names
    row_bytes = 2 * int(np.prod(grid)) * spec.dim
    return StoreHeader(
        encoder=spec.to_json(),
        clips=asdict(settings.clips),
        views=views,
        view_settings=_view_settings(manifest, settings.views),
        pool=settings.tokens.pool,
        dtype=settings.tokens.dtype,
        shape=(*grid, spec.dim),
        videos_hash=manifest.videos_hash,
        num_videos=len(manifest.table),
        videos_per_part=per_part,
        parts_per_shard=parts_per_shard(row_bytes, per_part * len(views)),
        clips_per_batch=_fixed_pass(settings.embedding),
    )


def _fixed_pass(config: EmbeddingConfig) -> int:
    return 0 if config.clips_per_batch == "auto" else config.clips_per_batch


def _view_settings(manifest: Manifest, views: ViewsConfig) -> dict[str, Any]:
    """What decides the pixels of these videos; of a table of faces its boxes, not where it lies."""
    found = views.in_force()
    if views.face is not None:
        found["face"] = {**found["face"], "boxes_sha256": boxes_sha256(crops_of(manifest, views))}
    return found
