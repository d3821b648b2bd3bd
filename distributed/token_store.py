"""The embeddings on disk: immutable Arrow shards, one JSON header, failures, memory-mapped reading.

A part is what one task encodes: `videos_per_part` videos that follow each other in the manifest. A shard is
`parts_per_shard` parts in order. Small parts wait beside the shards until theirs is complete and are then
sealed into it; a part as large as a shard becomes one at once. Which video lies where follows from the
manifest and the header alone, so shards have the same bytes however many workers made them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from pydantic import BaseModel, ConfigDict, field_validator

from distributed.errors import UserError
from distributed.pooling import check_pool
from distributed.settings import differences
from distributed.storage import Storage
from distributed.video_failures import VideoFailure as VideoFailure
from distributed.video_failures import (
    as_metadata,
    failures_in,
    failures_of_shards,
    read_failures,
    remember_failures,
)
from distributed.views import PASS

FORMAT_VERSION = 1
HEADER = "store.json"
# Large enough that opening a store takes few files, small enough that an interrupted one loses little.
_SHARD_BYTES = 128 << 20


class TokensConfig(BaseModel):
    """What is kept of the encoder's tokens, and as which 16-bit number."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    pool: str = "none"
    dtype: Literal["float16", "bfloat16"] = "float16"
    store: str | None = None

    @field_validator("pool")
    @classmethod
    def _known_pool(cls, value: str) -> str:
        return check_pool(value)


@dataclass(frozen=True)
class StoreHeader:
    """Everything that decides a store's bytes. `shape` is a row's `(segments, t, h, w, D)`.

    `views` are the clean ones, then the augmented passes.
    """

    encoder: dict[str, Any]
    clips: dict[str, Any]
    views: tuple[str, ...]
    view_settings: dict[str, Any]
    pool: str
    dtype: str
    shape: tuple[int, int, int, int, int]
    videos_hash: str
    num_videos: int
    videos_per_part: int
    parts_per_shard: int
    clips_per_batch: int
    format_version: int = FORMAT_VERSION

    @property
    def clean_views(self) -> tuple[str, ...]:
        """The views that probes are scored on; the others are augmented passes."""
        return tuple(view for view in self.views if not view.startswith(PASS))

    @property
    def row_bytes(self) -> int:
        return 2 * int(np.prod(self.shape))

    @property
    def predicted_bytes(self) -> int:
        return self.row_bytes * len(self.views) * self.num_videos

    @property
    def num_parts(self) -> int:
        return -(-self.num_videos // self.videos_per_part)

    @property
    def num_shards(self) -> int:
        return -(-self.num_parts // self.parts_per_shard)

    def parts_of(self, shard: int) -> range:
        start = shard * self.parts_per_shard
        return range(start, min(start + self.parts_per_shard, self.num_parts))

    def videos_of(self, part: int) -> range:
        """Row numbers of the manifest."""
        start = part * self.videos_per_part
        return range(start, min(start + self.videos_per_part, self.num_videos))

    def to_json(self) -> dict[str, Any]:
        return dict(json.loads(json.dumps(asdict(self))))

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> StoreHeader:
        return cls(**{**value, "views": tuple(value["views"]), "shape": tuple(value["shape"])})


def parts_per_shard(row_bytes: int, rows_per_part: int) -> int:
    """How many parts make a shard of about 128 MiB."""
    return max(1, _SHARD_BYTES // (row_bytes * rows_per_part))


@dataclass(frozen=True)
class TokenRow:
    """One video and view; `tokens` is `float[segments, t, h, w, D]`."""

    video_id: str
    view: str
    tokens: torch.Tensor


class TokenStore:
    """The shards of a store: adds parts, seals them, lists failures. Safe in many processes at once."""

    def __init__(self, storage: Storage, header: StoreHeader) -> None:
        self.storage = storage
        self.header = header
        self._parts = storage.child("parts")
        self.shards = storage.child("shards")
        self._settled: list[VideoFailure] | None = None

    @classmethod
    def open(cls, storage: Storage) -> TokenStore:
        """An existing store.

        Raises:
            UserError: there is none, or its format is one that this version does not read.
        """
        if not storage.exists(HEADER):
            raise UserError(f"{storage.uri}: no token store here; run `fersweep embed` first")
        there = storage.read_json(HEADER)
        if there.get("format_version") != FORMAT_VERSION:
            raise UserError(
                f"{storage.uri}: the token store has format {there.get('format_version')}, this version of "
                f"fersweep reads {FORMAT_VERSION}; embed again into another folder"
            )
        return cls(storage, StoreHeader.from_json(there))

    def create(self) -> None:
        """Write the header, or check that the one there was made with the same settings.

        Raises:
            UserError: the store was made with other settings; the message names each difference.
        """
        if not self.storage.exists(HEADER):
            self.storage.write_json(HEADER, self.header.to_json())
            return
        there = self.storage.read_json(HEADER)
        if there != self.header.to_json():
            changes = "; ".join(differences(there, self.header.to_json()))
            raise UserError(
                f"{self.storage.uri}: this token store was made with other settings ({changes}); "
                "set tokens.store to another folder, or go back to those settings"
            )

    def sealed_shards(self) -> set[int]:
        return {int(name[len("shard-") : -len(".arrow")]) for name in self.shards.names()}

    def waiting_parts(self) -> set[int]:
        """Parts that are written and whose shard is not sealed yet."""
        return {int(name[len("part-") : -len(".arrow")]) for name in self._parts.names()}

    def missing_parts(self) -> list[int]:
        """The parts that still have to be encoded, in order."""
        sealed, there = self.sealed_shards(), self.waiting_parts()
        missing = (shard for shard in range(self.header.num_shards) if shard not in sealed)
        return [part for shard in missing for part in self.header.parts_of(shard) if part not in there]

    @property
    def complete(self) -> bool:
        return len(self.sealed_shards()) == self.header.num_shards

    def write_part(self, part: int, rows: Sequence[TokenRow], failures: Sequence[VideoFailure]) -> None:
        data = _to_ipc(_to_table(part, rows, self.header), failures)
        if self.header.parts_per_shard == 1:
            self.shards.write_bytes(_shard_name(part), data)
        else:
            self._parts.write_bytes(_part_name(part), data)

    def sealable_shards(self) -> list[int]:
        """Shards whose parts are all there and which are not sealed; left-over parts of sealed ones go."""
        sealed, there, ready = self.sealed_shards(), self.waiting_parts(), []
        for shard in sorted({part // self.header.parts_per_shard for part in there}):
            parts = self.header.parts_of(shard)
            if shard in sealed:  # killed between sealing it and deleting its parts
                for part in there.intersection(parts):
                    self._parts.delete(_part_name(part))
            elif there.issuperset(parts):
                ready.append(shard)
        return ready

    def seal(self, shard: int) -> None:
        """Join the parts of a shard, which must all be there, into it."""
        names = [_part_name(part) for part in self.header.parts_of(shard)]
        contents = [read_ipc(self._parts, name) for name in names]
        table = pa.concat_tables([table for table, _ in contents])
        self.shards.write_bytes(_shard_name(shard), _to_ipc(table, [f for _, group in contents for f in group]))
        for name in names:
            self._parts.delete(name)

    def drop_parts(self, shard: int, drop: set[int]) -> None:
        """Forget the parts `drop` of a shard, sealed or not, so that they are missing again."""
        self.changed_elsewhere()
        if shard in self.sealed_shards():
            table, failures = read_ipc(self.shards, _shard_name(shard))
            for part in sorted(set(self.header.parts_of(shard)) - drop):
                rows = table.filter(pc.equal(table["part"], part))
                self._parts.write_bytes(_part_name(part), _to_ipc(rows, [f for f in failures if f.part == part]))
            self.shards.delete(_shard_name(shard))
        for part in self.waiting_parts() & drop:
            self._parts.delete(_part_name(part))

    def changed_elsewhere(self) -> None:
        """Look again before the next answer: another process has dropped parts."""
        self._settled = None

    def failures(self) -> list[VideoFailure]:
        """Every video without tokens so far, in the manifest's order.

        They name the folders of all that is made of the tokens, so a command asks often: a complete store looks once.
        """
        if self._settled is not None:
            return list(self._settled)
        complete = self.complete
        waiting = [read_failures(self._parts, name) for name in self._parts.names()]
        groups = [*failures_of_shards(self.storage, self.shards).values(), *waiting]
        found = {failure.video_id: failure for group in groups for failure in group}
        ordered = sorted(found.values(), key=lambda failure: (failure.part, failure.video_id))
        self._settled = list(ordered) if complete else None
        return ordered

    def remember_failures(self) -> None:
        """Let the next `failures` open no shard that is there now."""
        remember_failures(self.storage, self.shards)


def read_ipc(storage: Storage, name: str) -> tuple[pa.Table, list[VideoFailure]]:
    """A part or shard and its failures; memory-mapped when it is local."""
    with storage.naming(name):
        table = pa.ipc.open_file(storage.open_input(name)).read_all()
    return table, failures_in(table.schema)


def _to_table(part: int, rows: Sequence[TokenRow], header: StoreHeader) -> pa.Table:
    element = pa.float16() if header.dtype == "float16" else pa.uint16()
    numbers = [_as_numpy(row.tokens, header.dtype).reshape(-1) for row in rows]
    flat = np.concatenate(numbers) if numbers else np.empty(0, element.to_pandas_dtype())
    storage = pa.FixedSizeListArray.from_arrays(pa.array(flat, element), int(np.prod(header.shape)))
    tensor_type = pa.fixed_shape_tensor(element, header.shape)
    return pa.table(
        {
            "video_id": pa.array([row.video_id for row in rows], pa.string()),
            "view": pa.array([row.view for row in rows], pa.string()),
            "part": pa.array([part] * len(rows), pa.int32()),
            "tokens": pa.ExtensionArray.from_storage(tensor_type, storage),
        }
    )


def _as_numpy(tokens: torch.Tensor, dtype: str) -> npt.NDArray[Any]:
    if dtype == "float16":
        return tokens.to(torch.float16).cpu().numpy()
    # numpy has no bfloat16: its 16 bits travel as an integer.
    return tokens.to(torch.bfloat16).cpu().view(torch.uint16).numpy()


def _to_ipc(table: pa.Table, failures: Sequence[VideoFailure]) -> pa.Buffer:
    table = table.combine_chunks().replace_schema_metadata(as_metadata(failures))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _shard_name(shard: int) -> str:
    return f"shard-{shard:06d}.arrow"


def _part_name(part: int) -> str:
    return f"part-{part:07d}.arrow"
