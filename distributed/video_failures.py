"""Videos without tokens: kept in the metadata of the shard where their tokens would lie, and remembered beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from distributed.storage import Storage

_KEY = b"fersweep.failures"
_REMEMBERED = "failures.json"


@dataclass(frozen=True)
class VideoFailure:
    """A video without tokens. `fingerprint` is the file's size and modification time when it failed."""

    video_id: str
    part: int
    stage: str
    reason: str
    fingerprint: str


def as_metadata(failures: Sequence[VideoFailure]) -> dict[bytes, bytes]:
    """The entry in a shard's schema."""
    return {_KEY: json.dumps([asdict(failure) for failure in failures], sort_keys=True).encode()}


def failures_in(schema: pa.Schema) -> list[VideoFailure]:
    """What `as_metadata` has put there."""
    return [VideoFailure(**item) for item in json.loads(schema.metadata[_KEY])]


def read_failures(storage: Storage, name: str) -> list[VideoFailure]:
    """The failures of a part or shard, without reading its tokens."""
    with storage.naming(name), storage.open_input(name) as source:
        return failures_in(pa.ipc.open_file(source).schema)


def failures_of_shards(store: Storage, shards: Storage) -> dict[str, list[VideoFailure]]:
    """Those of every shard by its name.

    Opening thousands of shards takes minutes behind a URI. What is remembered of one holds for as long as its size
    and time are the same; the others are opened.
    """
    known: dict[str, Any] = store.read_json(_REMEMBERED) if store.exists(_REMEMBERED) else {}
    states, failures = known.get("states", {}), known.get("failures", {})
    return {
        name: [VideoFailure(**item) for item in failures.get(name, [])]
        if states.get(name) == state
        else read_failures(shards, name)
        for name, state in sorted(shards.states().items())
    }


def remember_failures(store: Storage, shards: Storage) -> None:
    """Write down the failures of all shards that are there; does nothing when nothing is new."""
    # States first: a shard that is replaced meanwhile must look changed.
    states, found = shards.states(), failures_of_shards(store, shards)
    failures = {name: [asdict(failure) for failure in group] for name, group in found.items() if group}
    value = {"states": states, "failures": failures}
    if not store.exists(_REMEMBERED) or store.read_json(_REMEMBERED) != value:
        store.write_json(_REMEMBERED, value)
