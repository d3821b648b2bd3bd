"""The data of a run as MLflow is told of them: the list of videos and the token store."""

from __future__ import annotations

from collections import Counter
from typing import Any

from distributed.manifest import Manifest
from distributed.token_store import TokenStore
from jobs.context import Context
from tracking.lineage import DataSource


def dataset_name(manifest: Manifest) -> str:
    return str(manifest.table["dataset"][0].as_py()) if len(manifest.table) else ""


def data_sources(context: Context, manifest: Manifest, store: TokenStore) -> list[DataSource]:
    """Both sources with schema, counts and places."""
    return [_videos(manifest, context.manifest_folder.uri), _tokens(manifest, store, context.tokens_key(store.header))]


def _videos(manifest: Manifest, uri: str) -> DataSource:
    labels = Counter(manifest.table["label_name"].to_pylist())
    counts: dict[str, Any] = {
        "videos": len(manifest.table),
        "actors": len(set(manifest.table["actor"].to_pylist())),
        "videos_of_class": {name: labels[name] for name in manifest.label_names},
        "content_hash": manifest.content_hash,
        "videos_hash": manifest.videos_hash,
    }
    columns = {field.name: str(field.type) for field in manifest.table.schema}
    name = f"{dataset_name(manifest)} videos"
    return DataSource(name, manifest.content_hash, uri, "manifest", columns, counts)


def _tokens(manifest: Manifest, store: TokenStore, digest: str) -> DataSource:
    header = store.header
    counts: dict[str, Any] = {
        "videos": header.num_videos,
        "failures": len(store.failures()),
        "views": list(header.views),
        "bytes": header.predicted_bytes,
        "encoder": header.encoder["name"],
        "encoder_sha256": header.encoder["sha256"],
        "clips": header.clips,
        "pool": header.pool,
        "videos_hash": header.videos_hash,
    }
    columns = {"video_id": "string", "view": "string", "tokens": f"{header.dtype}{list(header.shape)}"}
    name = f"{dataset_name(manifest)} tokens, {header.encoder['name']}"
    return DataSource(name, digest, store.storage.uri, "tokens", columns, counts)
