"""Reading a token store: every shard mapped into memory, so that all trials on a node share one copy."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from pyarrow import fs

from distributed.batch_memory import BatchMemory
from distributed.errors import UserError
from distributed.scratch import locked, own_folder
from distributed.storage import Storage
from distributed.token_store import HEADER, StoreHeader, TokenStore, read_ipc
from distributed.view_draws import DrawnTokens, Rows, TrainingViews, ViewDraws
from search_spaces.probe import TokenGrid


class TokenReader(DrawnTokens):
    """The tokens of a list of videos, by their number in that list.

    `shape` is `(N, D)`: the tokens of all segments of a video in one sequence. `take`: what training reads.
    """

    def __init__(
        self, store: TokenStore, video_ids: Sequence[str], *, seed: int = 0, take: TrainingViews = "all"
    ) -> None:
        """Map the shards of `store` and find each of `video_ids` in them.

        Raises:
            UserError: the store is not complete, one of the videos has no tokens, or training asks for augmented
                passes where there are none.
        """
        if not store.complete:
            raise UserError(f"{store.storage.uri}: the token store is not complete; run `fersweep embed` to finish it")
        self.header: StoreHeader = store.header
        self.shape = (int(np.prod(store.header.shape[:-1])), store.header.shape[-1])
        self.grid = TokenGrid(*store.header.shape[:-1])
        self.num_videos = len(video_ids)
        self.views = store.header.views
        clean = len(store.header.clean_views)
        try:
            passes = len(self.views) - clean
            super().__init__(ViewDraws(seed, len(video_ids), clean=clean, passes=passes, take=take))
        except ValueError as error:
            raise UserError(f"{store.storage.uri}: {error}") from error
        shards = local_copy(store.storage).child("shards")
        tables = [read_ipc(shards, name)[0] for name in shards.names()]
        self._blocks = [_tensor(table, store.header) for table in tables]
        self._places = self._locate(tables, video_ids)

    def _locate(self, tables: Sequence[pa.Table], video_ids: Sequence[str]) -> Rows:
        """Shard and row of every video and view, `int64[num_videos, views, 2]`."""
        numbers, columns = pa.array(video_ids, pa.string()), pa.array(self.views, pa.string())
        places = np.full((len(video_ids), len(self.views), 2), -1, np.int64)
        for shard, table in enumerate(tables):
            number = pc.index_in(table["video_id"], numbers).fill_null(-1).to_numpy()
            rows = np.flatnonzero(number >= 0)
            column = pc.index_in(table["view"], columns).to_numpy()
            places[number[rows], column[rows], 0], places[number[rows], column[rows], 1] = shard, rows
        lost = np.flatnonzero((places < 0).any(axis=(1, 2)))
        if len(lost):
            names = ", ".join(video_ids[index] for index in lost[:3])
            raise UserError(
                f"{len(lost)} of {len(video_ids)} videos have no tokens in the store ({names} ...); "
                "leave out the failed ones, or run `fersweep embed` again"
            )
        return places

    def read(self, rows: Rows, views: Rows, memory: BatchMemory | None = None) -> torch.Tensor:
        """The view of each video whose number is given, `[B, N, D]` in the store's own type.

        Those that follow each other in a shard come as they are mapped, never to be written; others are copied, to
        `memory` where it is given.
        """
        places = self._places[rows, views]
        if len(places) and (np.diff(places, axis=0) == (0, 1)).all():
            shard, row = places[0].tolist()
            lying: torch.Tensor = self._blocks[shard][row : row + len(places)].view(-1, *self.shape)
            return lying
        out = (memory or BatchMemory()).take((len(places), *self.shape), self._blocks[0].dtype)
        for index, (shard, row) in enumerate(places.tolist()):
            out[index] = self._blocks[shard][row].view(self.shape)
        return out


def local_copy(storage: Storage) -> Storage:
    """The storage itself when it is on this machine's disk, else a copy of its shards, made once per node.

    Trials that start together wait for the first one's copy. It gets its name when it is whole: what a killed process
    has left is made anew. A mended video makes other shards of a store: they are copied, and the old copy goes.

    Raises:
        UserError: this machine's folder for temporary files has no room for them.
    """
    if storage.local_path is not None:
        return storage
    shards = storage.child("shards").states()
    known = storage.read_bytes(HEADER) + json.dumps(shards, sort_keys=True).encode()
    state = hashlib.sha256(known).hexdigest()[:16]
    place = hashlib.sha256(storage.uri.encode()).hexdigest()[:16]
    folder = own_folder() / place
    folder.mkdir(exist_ok=True)
    target = folder / state
    with locked(folder):
        if not target.exists():
            for old in folder.iterdir():  # whoever reads it has mapped it already
                if old.is_dir():
                    shutil.rmtree(old)
            _copy_shards(storage, target, sum(int(one.partition(":")[0]) for one in shards.values()))
    return Storage.at(target)


def _copy_shards(storage: Storage, target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise _no_room(storage, target, needed, f"{free / 1e9:.1f} GB")
    part = target.with_suffix(".copying")
    shards = part / "shards"
    shards.mkdir(parents=True)
    source, root = storage.child("shards").resolve()
    try:
        with storage.naming("shards"):
            fs.copy_files(root, str(shards), source_filesystem=source, destination_filesystem=fs.LocalFileSystem())
        part.rename(target)
    except OSError as error:
        if error.errno == errno.ENOSPC:  # others write there too
            raise _no_room(storage, target, needed, "less") from error
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _no_room(storage: Storage, target: Path, needed: int, free: str) -> UserError:
    return UserError(
        f"{target.parent}: the tokens of {storage.uri} take {needed / 1e9:.1f} GB, and this machine has {free} free "
        "there; let TMPDIR name a folder on a larger disk"
    )


def _tensor(table: pa.Table, header: StoreHeader) -> torch.Tensor:
    """The tokens of a shard as they lie on the disk, `[rows, segments, t, h, w, D]`, without a copy."""
    dtype: Any = np.float16 if header.dtype == "float16" else np.uint16
    chunks = table["tokens"].chunks
    assert len(chunks) <= 1, "a shard is written as one record batch"
    flat = np.frombuffer(chunks[0].storage.values.buffers()[1], dtype) if chunks else np.empty(0, dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensor = torch.from_numpy(flat[: len(table) * int(np.prod(header.shape))])
    if header.dtype == "bfloat16":
        tensor = tensor.view(torch.bfloat16)
    return tensor.view(len(table), *header.shape)
