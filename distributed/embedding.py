"""The Ray Data graph: manifest -> decode (CPU tasks) -> encode (a pool of GPU actors) -> token store.

One block travels per part of the store, so that what is encoded together follows from the manifest alone. An
encoder writes its parts itself: tokens never pass through the object store or the driver, which only counts.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
import torch
from ray.data import DataContext

from distributed.cluster import GRAPH_OPTIONS, errors_of_workers, rows_of_graph, total_resources
from distributed.cropping import Crops
from distributed.decode_task import decode_part, fingerprint
from distributed.embedding_progress import EmbeddingProgress as EmbeddingProgress
from distributed.embedding_progress import EmbeddingWork, write_embedding_times
from distributed.embedding_workers import EmbeddingConfig, EmbeddingSettings, EncodeParts, share_gpu
from distributed.encoder_deaths import start_deaths
from distributed.encoders import check_weights, load_encoder
from distributed.encoding import CLIPS_IN_PASS, fitting_pass
from distributed.errors import UserError
from distributed.face_boxes import crops_of
from distributed.manifest import Manifest
from distributed.placement import decode_options, encoder_room
from distributed.token_store import StoreHeader, TokenStore, VideoFailure
from distributed.views import short_side

_PARTS_PER_GRAPH = 4096
_PASSES = "passes.json"


def embed(
    store: TokenStore,
    manifest: Manifest,
    settings: EmbeddingSettings,
    on_progress: Callable[[EmbeddingProgress], None],
    encode: type[EncodeParts] = EncodeParts,
) -> None:
    """Fill the store: whatever part is missing is decoded and encoded, and complete shards are sealed.

    A video that failed is tried again only when its file has changed since. `encode`: what the encoders' actors run.

    Raises:
        UserError: more videos failed than `max_failures` allows; what is computed stays.
    """
    store.create()
    _reopen_changed(store, manifest)
    _seal_ready(store)
    missing = store.missing_parts()
    failures = store.failures()
    total = store.header.num_videos
    done = total - len(rows_of_parts(store.header, missing))
    on_progress(EmbeddingProgress(done, total, len(failures)))
    _check_failures(failures, total, settings.max_failures)
    if missing:
        check_weights(settings.encoder)
    last_parts = {store.header.parts_of(shard)[-1] for shard in range(store.header.num_shards)}
    work = EmbeddingWork()
    rows: list[dict[str, Any]] = []
    try:
        for row in _encoded_parts(store, manifest, settings, missing, encode):
            rows.append(row)
            failures += [VideoFailure(**item) for item in row["failures"]]
            done += row["videos"]
            work = work.add(row)
            on_progress(EmbeddingProgress(done, total, len(failures), work))
            _check_failures(failures, total, settings.max_failures)
            if store.header.parts_per_shard > 1 and row["part"] in last_parts:
                _seal_ready(store)
    finally:
        write_embedding_times(store, rows)
    _seal_ready(store)
    store.remember_failures()


def _encoded_parts(
    store: TokenStore,
    manifest: Manifest,
    settings: EmbeddingSettings,
    missing: Sequence[int],
    encode: type[EncodeParts],
) -> Iterator[dict[str, Any]]:
    """One summary row per part as it is encoded.

    A graph keeps something of every block until it ends, so that a long list of parts is worked off by several.
    """
    size = pass_size(store, settings) if missing else 0
    crops = crops_of(manifest, settings.views)
    for start in range(0, len(missing), _PARTS_PER_GRAPH):
        parts = missing[start : start + _PARTS_PER_GRAPH]
        videos = part_videos(store.header, manifest, parts)
        yield from rows_of_graph(_run_graph, store, videos, settings, size, crops, encode)


def pass_size(store: TokenStore, settings: EmbeddingSettings) -> int:
    """Clips of a pass: as set or, with `auto`, what fits the GPU's memory: tried once per store, and kept in it."""
    if store.header.clips_per_batch:
        return store.header.clips_per_batch
    if store.storage.exists(_PASSES):
        return int(store.storage.read_json(_PASSES)["clips_per_batch"])
    config, size, device = settings.embedding, CLIPS_IN_PASS, "cpu"
    if total_resources()[1] and config.encoder_gpus and settings.encoder.device != "cpu":
        most = config.videos_per_task * len(store.header.clean_views) * settings.clips.segments
        options = {"num_cpus": config.encoder_cpus, "num_gpus": config.encoder_gpus}
        with errors_of_workers():
            size, device = ray.get(_try_passes.options(**options).remote(settings, most))
    store.storage.write_json(_PASSES, {"clips_per_batch": size, "device": device})
    return size


@ray.remote(max_retries=0, max_calls=1)  # type: ignore[untyped-decorator]
def _try_passes(settings: EmbeddingSettings, most: int) -> tuple[int, str]:
    """On an encoder's share of a GPU; its process ends with it, and gives the memory back."""
    encoder = load_encoder(settings.encoder)
    share_gpu(encoder, settings.embedding)
    name = torch.cuda.get_device_name(encoder.device) if encoder.device.type == "cuda" else "cpu"
    return fitting_pass(encoder, most, settings.clips.frames_per_clip), name


def check_room(store: TokenStore) -> int:
    """The bytes that the missing parts will take on this machine's disk, or 0 where the store lies elsewhere.

    Raises:
        UserError: the disk cannot hold them.
    """
    folder = store.storage.local_path
    if folder is None:
        return 0
    header = store.header
    videos = len(rows_of_parts(header, store.missing_parts()))
    needed = videos * len(header.views) * header.row_bytes
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{store.storage.uri}: the tokens will take {needed / 1e9:.1f} GB, and the disk has "
            f"{free / 1e9:.1f} GB free; pool more (tokens.pool: space:4, time or mean), store fewer augmented passes "
            "(views.train), or set workspace or tokens.store to a larger disk"
        )
    return needed


@ray.remote(**GRAPH_OPTIONS)  # type: ignore[untyped-decorator]
def _run_graph(
    store: TokenStore,
    videos: pa.Table,
    settings: EmbeddingSettings,
    clips_per_batch: int,
    crops: Crops,
    encode: type[EncodeParts],
) -> Iterator[dict[str, Any]]:
    """One summary row per part as it is encoded; `videos` as `part_videos` gives them."""
    quiet_data_context().target_max_block_size = None  # a part must not be cut in two
    size = settings.embedding.videos_per_task
    # Not `from_arrow`: it starts a task for each table, on another CPU, to count the rows that are known here.
    parts = ray.data.from_blocks([videos.slice(start, size) for start in range(0, len(videos), size)])
    decoded = parts.map_batches(
        decode_part,
        batch_size=None,
        batch_format="pyarrow",
        fn_kwargs={
            "decoding": settings.decoding,
            "clips": settings.clips,
            "crops": crops,
            "passes": settings.passes,
            "short_side": short_side(settings.views, store.header.encoder["resolution"]),
        },
        num_cpus=decode_cpus(settings.embedding),
        **decode_options(),
    )
    # Not `map_batches`: with GPUs it refuses whole blocks as batches, and a part must stay whole.
    encoded = decoded.map_batches_internal(
        encode,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_kwargs={
            "store": store,
            "settings": settings,
            "clips_per_batch": clips_per_batch,
            "deaths": start_deaths(),
        },
        **encoder_pool(settings.embedding, -(-len(videos) // size)),
    )
    yield from encoded.iter_rows()


def quiet_data_context() -> DataContext:
    """The settings of Ray Data in this process, without its own progress bars."""
    os.environ["RAY_DATA_USAGE_DISABLED"] = "1"  # else an actor that reports on its use to Ray's makers
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    return context


def encoder_pool(config: EmbeddingConfig, num_parts: int) -> dict[str, Any]:
    """How many encoders a graph of so many parts has, and what each books."""
    _, encoder_gpus = encoder_room(config.encoder_cpus, config.encoder_gpus, decode_cpus(config))
    compute = ray.data.ActorPoolStrategy(size=num_encoders(config, num_parts))
    return {"compute": compute, "num_cpus": config.encoder_cpus, "num_gpus": encoder_gpus or None}


def num_encoders(config: EmbeddingConfig, num_parts: int) -> int:
    """How many encoders work on so many parts, never more: as set or, by default, as the GPUs or CPUs have room for."""
    room, _ = encoder_room(config.encoder_cpus, config.encoder_gpus, decode_cpus(config))
    return max(1, min(config.encoders or room, num_parts))


def decode_cpus(config: EmbeddingConfig) -> float:
    """What a decoding task books: it keeps a core busy, but may share one where encoders work on the same cores."""
    if config.decode_cpus is not None:
        return config.decode_cpus
    return 1.0 if total_resources()[1] else 0.25


def rows_of_parts(header: StoreHeader, parts: Sequence[int]) -> npt.NDArray[np.int64]:
    """The manifest's rows of some parts, int64[n], part after part."""
    starts = np.asarray(parts, np.int64) * header.videos_per_part
    rows = (starts[:, None] + np.arange(header.videos_per_part)).reshape(-1)
    return rows[rows < header.num_videos]


def part_videos(header: StoreHeader, manifest: Manifest, parts: Sequence[int]) -> pa.Table:
    """video_id, path and part of the videos of some parts, part after part; all parts but the last are of one size."""
    rows = rows_of_parts(header, parts)
    table = manifest.table.select(["video_id", "path"]).take(pa.array(rows))
    return table.append_column("part", pa.array(rows // header.videos_per_part)).combine_chunks()


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
    drop: dict[int, set[int]] = {}
    failures = store.failures()
    videos = part_videos(store.header, manifest, sorted({failure.part for failure in failures}))
    paths = dict(zip(videos["video_id"].to_pylist(), videos["path"].to_pylist(), strict=True))
    for failure in failures:
        if fingerprint(paths[failure.video_id]) != failure.fingerprint:
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
