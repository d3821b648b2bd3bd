"""The Ray Data graph: manifest -> decode (CPU tasks) -> encode (a pool of GPU actors) -> token store.

One block travels per part of the store, so that what is encoded together follows from the manifest alone. An
encoder writes its parts itself: tokens never pass through the object store or the driver, which only counts.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from ray.data import DataContext

from distributed.cluster import GRAPH_OPTIONS, errors_of_workers, rows_of_graph
from distributed.decode_task import decode_part, fingerprint
from distributed.embedding_workers import TIMES, EmbeddingConfig, EmbeddingSettings, EncodeParts
from distributed.encoders import check_weights, encoder_spec
from distributed.errors import UserError
from distributed.manifest import Manifest
from distributed.placement import decode_options, encoder_room
from distributed.pooling import pooled_grid
from distributed.storage import Storage
from distributed.token_store import StoreHeader, TokenStore, VideoFailure, parts_per_shard
from distributed.views import short_side


@dataclass(frozen=True)
class EmbeddingProgress:
    """Counts of videos, for a progress bar."""

    done: int
    total: int
    failed: int


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
    per_part, views = settings.embedding.videos_per_task, settings.views.names
    row_bytes = 2 * int(np.prod(grid)) * spec.dim
    return StoreHeader(
        encoder=spec.to_json(),
        clips=asdict(settings.clips),
        views=views,
        view_settings=asdict(settings.views),
        pool=settings.tokens.pool,
        dtype=settings.tokens.dtype,
        shape=(*grid, spec.dim),
        videos_hash=manifest.videos_hash,
        num_videos=len(manifest.table),
        videos_per_part=per_part,
        parts_per_shard=parts_per_shard(row_bytes, per_part * len(views)),
        clips_per_batch=settings.embedding.clips_per_batch,
    )


def embed(
    store: TokenStore,
    manifest: Manifest,
    settings: EmbeddingSettings,
    on_progress: Callable[[EmbeddingProgress], None],
) -> None:
    """Fill the store: whatever part is missing is decoded and encoded, and complete shards are sealed.

    A video that failed is tried again only when its file has changed since.

    Raises:
        UserError: more videos failed than `max_failures` allows; what is computed stays.
    """
    store.create()
    _reopen_changed(store, manifest)
    _seal_ready(store)
    missing = store.missing_parts()
    failures = store.failures()
    total = store.header.num_videos
    done = total - sum(len(store.header.videos_of(part)) for part in missing)
    on_progress(EmbeddingProgress(done, total, len(failures)))
    _check_failures(failures, total, settings.max_failures)
    if missing:
        check_weights(settings.encoder)
    times: list[dict[str, Any]] = []
    try:
        for row in rows_of_graph(_run_graph, store, manifest, settings, missing) if missing else ():
            times.append({name: row[name] for name in TIMES})
            failures += [VideoFailure(**item) for item in row["failures"]]
            done += row["videos"]
            on_progress(EmbeddingProgress(done, total, len(failures)))
            _check_failures(failures, total, settings.max_failures)
            if store.header.parts_per_shard > 1 and row["part"] in _last_parts(store.header):
                _seal_ready(store)
    finally:
        if times:
            _times_folder(store).write_json(f"times-{round(times[0]['decode_started'])}.json", times)
    _seal_ready(store)


def read_embedding_times(store: TokenStore) -> list[dict[str, Any]]:
    """Where and when (seconds since 1970) each part was decoded and encoded, and how long its encoder had waited.

    In a folder of their own beside the shards, whose bytes do not depend on them.
    """
    folder = _times_folder(store)
    return [row for name in folder.names() for row in folder.read_json(name)]


def _times_folder(store: TokenStore) -> Storage:
    return store.storage.child("times")


def check_room(store: TokenStore) -> int:
    """The bytes that the missing parts will take on this machine's disk, or 0 where the store lies elsewhere.

    Raises:
        UserError: the disk cannot hold them.
    """
    folder = store.storage.local_path
    if folder is None:
        return 0
    header = store.header
    videos = sum(len(header.videos_of(part)) for part in store.missing_parts())
    needed = videos * len(header.views) * header.row_bytes
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{store.storage.uri}: the tokens will take {needed / 1e9:.1f} GB, and the disk has "
            f"{free / 1e9:.1f} GB free; pool more (tokens.pool: space:4, time or mean), or set workspace or "
            "tokens.store to a larger disk"
        )
    return needed


def _last_parts(header: StoreHeader) -> set[int]:
    return {header.parts_of(shard)[-1] for shard in range(header.num_shards)}


@ray.remote(**GRAPH_OPTIONS)  # type: ignore[untyped-decorator]
def _run_graph(
    store: TokenStore, manifest: Manifest, settings: EmbeddingSettings, missing: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """One summary row per part as it is encoded."""
    quiet_data_context().target_max_block_size = None  # a part must not be cut in two
    parts = ray.data.from_arrow([_part_table(store.header, manifest, part) for part in missing])
    decoded = parts.map_batches(
        decode_part,
        batch_size=None,
        batch_format="pyarrow",
        fn_kwargs={
            "decoding": settings.decoding,
            "clips": settings.clips,
            "short_side": short_side(settings.views, store.header.encoder["resolution"]),
        },
        num_cpus=settings.embedding.decode_cpus,
        **decode_options(),
    )
    # Not `map_batches`: with GPUs it refuses whole blocks as batches, and a part must stay whole.
    encoded = decoded.map_batches_internal(
        EncodeParts,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_kwargs={"store": store, "settings": settings},
        **encoder_pool(settings.embedding, len(missing)),
    )
    yield from encoded.iter_rows()


def quiet_data_context() -> DataContext:
    """The settings of Ray Data in this process, without its own progress bars."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    return context


def encoder_pool(config: EmbeddingConfig, num_parts: int) -> dict[str, Any]:
    """How many encoders a graph of so many parts has, and what each books."""
    room, encoder_gpus = encoder_room(config.encoder_cpus, config.encoder_gpus, config.decode_cpus)
    size = config.encoders or max(1, min(room, num_parts))
    compute = ray.data.ActorPoolStrategy(size=size)
    return {"compute": compute, "num_cpus": config.encoder_cpus, "num_gpus": encoder_gpus or None}


def _part_table(header: StoreHeader, manifest: Manifest, part: int) -> pa.Table:
    rows = header.videos_of(part)
    table = manifest.table.slice(rows.start, len(rows)).select(["video_id", "path"])
    return table.append_column("part", pa.array([part] * len(rows), pa.int64()))


@ray.remote(num_cpus=0.01)  # type: ignore[untyped-decorator]
def _seal(store: TokenStore, shard: int) -> None:
    store.seal(shard)


@ray.remote(num_cpus=0.01)  # type: ignore[untyped-decorator]
def _drop_parts(store: TokenStore, shard: int, parts: set[int]) -> None:
    store.drop_parts(shard, parts)


def _seal_ready(store: TokenStore) -> None:
    """Sealing reads tokens, so it happens on a worker; the CPU that it books keeps it off a head without any."""
    with errors_of_workers():
        ray.get([_seal.remote(store, shard) for shard in store.sealable_shards()])


def _reopen_changed(store: TokenStore, manifest: Manifest) -> None:
    """Make the parts missing again whose failed videos have another file now, on workers, as tokens are read."""
    paths = dict(zip(manifest.table["video_id"].to_pylist(), manifest.table["path"].to_pylist(), strict=True))
    drop: dict[int, set[int]] = {}
    for failure in store.failures():
        if failure.stage == "decode" and fingerprint(paths[failure.video_id]) != failure.fingerprint:
            drop.setdefault(failure.part // store.header.parts_per_shard, set()).add(failure.part)
    with errors_of_workers():
        ray.get([_drop_parts.remote(store, shard, parts) for shard, parts in sorted(drop.items())])
    store.changed_elsewhere()


def allowed_failures(total: int, share: float) -> int:
    """How many of `total` videos may fail: a share of them, but at least one unless it is 0."""
    return max(1, int(share * total)) if share > 0 else 0


def _check_failures(failures: Sequence[VideoFailure], total: int, share: float) -> None:
    allowed = allowed_failures(total, share)
    if len(failures) <= allowed:
        return
    listed = "\n".join(f"  {failure.video_id}: {failure.reason}" for failure in failures[:20])
    more = f"\n  ... and {len(failures) - 20} more" if len(failures) > 20 else ""
    raise UserError(
        f"{len(failures)} of {total} videos failed, and data.max_failures allows {allowed}:\n{listed}{more}\n"
        "Mend or remove these files, or raise data.max_failures, and run the command again: "
        "what is embedded stays, and a failed video is tried again once its file has changed."
    )
