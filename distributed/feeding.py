"""Tokens on the way to the device that trains on them.

On a CPU they are used where they lie, so that all trials of a node share the one copy that the store's memory map is.
A GPU keeps the tokens of a training where they fit, loaded once; else they are streamed: while one batch is used, the
next is read into page-locked memory by a thread and copied by a stream of its own.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from distributed.batch_memory import BatchMemory
from distributed.token_source import Rows, TokenSource
from distributed.view_draws import Batch, every_view

A = TypeVar("A")
T = TypeVar("T")
# Of the memory that is free on a device, what a training may keep of its tokens.
_SHARE = 1 / 2
# Videos that are read at a time, and on a CPU their bytes in float32: a batch is a trial's own.
_BATCH = 32
_BATCH_BYTES = 8 * 2**20
_CHUNK_BYTES = 256 * 2**20  # read at a time while what is kept is loaded


def room(device: torch.device) -> int:
    """Bytes of tokens that a training may keep on a device: none on a CPU, which shares what is mapped."""
    return int(_SHARE * torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else 0


def batch_size(tokens: TokenSource, device: torch.device) -> int:
    """How many videos to read at a time where no step needs them together."""
    if device.type != "cpu":
        return _BATCH
    return min(_BATCH, max(1, _BATCH_BYTES // (4 * math.prod(tokens.shape))))


def cut(rows: Rows, length: int) -> list[Rows]:
    """The rows in parts of so many."""
    return [rows[start : start + length] for start in range(0, len(rows), length)]


def one_ahead(load: Callable[[int, A], T], batches: Iterable[A]) -> Iterator[T]:
    """What `load(number, batch)` gives of every batch, in order, each once; the next is loaded while one is used."""
    with ThreadPoolExecutor(1, "feeding") as pool:
        loading: Future[T] | None = None
        for number, batch in enumerate(batches):
            following = pool.submit(load, number, batch)
            if loading is not None:
                yield loading.result()
            loading = following
        if loading is not None:
            yield loading.result()


class _PinnedCopies:
    """Copies to a GPU through two page-locked buffers in turn, on a stream beside the work's."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._buffers: list[Tensor | None] = [None, None]
        self._arrived = [torch.cuda.Event() for _ in range(2)]  # type: ignore[no-untyped-call]

    def start(self, number: int, values: Tensor) -> tuple[Tensor, torch.cuda.Event]:
        """Begin to copy the batch of this number; its event says when it is there."""
        arrived = self._arrived[number % 2]
        arrived.synchronize()  # the copy of the batch before the last has left the buffer
        buffer = self._buffers[number % 2]
        if buffer is None or buffer.numel() < values.numel():
            buffer = torch.empty(values.numel(), dtype=values.dtype, pin_memory=True)
            self._buffers[number % 2] = buffer
        pinned = buffer[: values.numel()].view(values.shape).copy_(values)
        with torch.cuda.stream(self._stream):
            copy = pinned.to(self._device, non_blocking=True)
            arrived.record(self._stream)
        return copy, arrived

    def take(self, copy: Tensor, arrived: torch.cuda.Event) -> Tensor:
        """The batch, for work on the current stream, which waits for it; the host does not."""
        current = torch.cuda.current_stream(self._device)
        current.wait_event(arrived)
        copy.record_stream(current)  # its memory is the side stream's: not to be used again before the work is done
        return copy


class DeviceTokens:
    """The tokens of some videos on a device, batch by batch; `budget` is what may be kept there, in bytes.

    Off a GPU a batch lasts until the next one is asked for.
    """

    def __init__(self, tokens: TokenSource, rows: Rows, device: torch.device, *, budget: int = 0) -> None:
        self._tokens, self._device, self._budget = tokens, device, budget
        self._rows = np.unique(rows)
        self._place = np.full(tokens.num_videos, -1, np.int64)
        self._place[self._rows] = np.arange(len(self._rows))
        self._kept: Tensor | None = None
        self._memory = BatchMemory()
        self._copies = _PinnedCopies(device) if device.type == "cuda" else None

    @property
    def num_clean(self) -> int:
        """How many views of a video are clean."""
        return self._tokens.num_clean

    def gather(self, parts: Sequence[Rows], epoch: int) -> Iterator[Tensor]:
        """[B, N, D] of each part in turn: one view of each video, which one follows from the epoch."""
        return self.read([(rows, self._tokens.views_of(rows, epoch)) for rows in parts])

    def evaluation_views(self, parts: Sequence[Rows]) -> Iterator[Tensor]:
        """[B * V, N, D] of each part in turn: the clean views of each video, one after the other."""
        return self.read([every_view(rows, np.arange(self.num_clean)) for rows in parts])

    def read(self, batches: Sequence[Batch]) -> Iterator[Tensor]:
        """[B, N, D] of each batch in turn."""
        kept = self._keep()
        if kept is None:
            yield from self._streamed(batches)
            return
        for rows, views in batches:
            places = torch.from_numpy(self._place[rows] * kept.shape[1] + views).to(self._device)
            yield kept.flatten(0, 1).index_select(0, places)

    def _streamed(self, batches: Sequence[Batch]) -> Iterator[Tensor]:
        copies = self._copies
        if copies is None:
            yield from (self._tokens.read(*batch, self._memory).to(self._device) for batch in batches)
        else:
            for started in one_ahead(lambda number, batch: copies.start(number, self._tokens.read(*batch)), batches):
                yield copies.take(*started)

    def _keep(self) -> Tensor | None:
        """All views of all videos on the device, [M, V, N, D], where they fit; loaded when first asked for."""
        if self._kept is None and self._budget:
            first = self._tokens.read(*every_view(self._rows[:1], np.arange(self._tokens.num_views)))
            if first.nbytes * len(self._rows) <= self._budget:
                self._kept = self._load(first)
            else:
                self._budget = 0
        return self._kept

    def _load(self, first: Tensor) -> Tensor | None:
        step = max(1, _CHUNK_BYTES // first.nbytes)
        try:
            kept = torch.empty((len(self._rows), *first.shape), dtype=first.dtype, device=self._device)
        except torch.OutOfMemoryError:  # another trial was faster
            self._budget = 0
            return None
        numbers = np.arange(len(first))
        parts = [every_view(self._rows[i : i + step], numbers) for i in range(0, len(self._rows), step)]
        flat, start = kept.flatten(0, 1), 0
        for values in self._streamed(parts):
            flat[start : start + len(values)] = values
            start += len(values)
        return kept
