"""Tokens made ready for readouts, and what does not change from epoch to epoch kept.

Frozen tokens have the same statistics in every epoch: they are computed when a view of a video is first read, and take
8 bytes a token. A set that is small as a whole is standardised once and kept.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from distributed.batch_memory import BatchMemory
from distributed.feeding import DeviceTokens
from distributed.readout import PreparedTokens, TokenStatistics, is_small, prepare, standardise, token_statistics
from distributed.token_source import Rows, TokenSource
from distributed.view_draws import Batch, every_view

# Standardised tokens of all videos of a training that are kept as a whole, in bytes: every trial has its own.
_KEPT_BYTES = 24 * 2**20
# Statistics that are kept. Of more views than that allows each is read so seldom that keeping them saves little.
_STATISTICS_BYTES = 8 * 2**30


class PreparedSource:
    """A source whose batches come prepared, on a device; `rows` are all the videos that will be asked for.

    `budget`: the bytes of tokens that may be kept on the device as they are.
    Off a GPU a batch lasts until the next one is asked for.
    """

    def __init__(self, tokens: TokenSource, rows: Rows, device: torch.device, *, budget: int = 0) -> None:
        self._tokens, self._device = tokens, device
        self._fed = DeviceTokens(tokens, rows, device, budget=budget)
        self._place = np.full(tokens.num_videos, -1, np.int64)
        rows = np.unique(rows)
        self._place[rows] = np.arange(len(rows))
        self._memory = BatchMemory()
        self._kept = self._keep(rows)
        # Mean and deviation of every token of a view, made when they are first needed, and which are there.
        self._table = (len(rows), tokens.num_views, 2, tokens.shape[0])
        self._remembers = 4 * math.prod(self._table) <= _STATISTICS_BYTES
        self._statistics: Tensor | None = None
        self._known = np.zeros(self._table[:2], bool)

    def _keep(self, rows: Rows) -> Tensor | None:
        numbers = np.arange(self._tokens.num_views)
        first = self._tokens.read(*every_view(rows[:1], numbers)).to(self._device)
        size = 4 * len(rows) * first.numel()
        if size > _KEPT_BYTES or not is_small(first[: self._tokens.num_clean]):
            return None
        step = max(1, len(rows) // max(1, size // 2**22))
        # Filled in place: parts that are joined at the end would take the memory twice.
        kept = torch.empty((len(rows), *first.shape), device=self._device)
        for start in range(0, len(rows), step):
            part = self._tokens.read(*every_view(rows[start : start + step], numbers))
            kept[start : start + step] = standardise(part.to(self._device)).view(-1, *first.shape)
        return kept

    def gather(self, parts: Sequence[Rows], epoch: int) -> Iterator[PreparedTokens]:
        """Of each part in turn: one view of each video, which one follows from the epoch."""
        return self._read([(rows, self._tokens.views_of(rows, epoch)) for rows in parts])

    def evaluation_views(self, parts: Sequence[Rows]) -> Iterator[tuple[PreparedTokens, int]]:
        """Of each part in turn: all clean views of each video, one after the other, and how many a video has."""
        return self._views(parts, np.arange(self._tokens.num_clean))

    def training_views(self, parts: Sequence[Rows]) -> Iterator[tuple[PreparedTokens, int]]:
        """Likewise all views of each video that training may draw."""
        return self._views(parts, self._tokens.drawn_views)

    def _views(self, parts: Sequence[Rows], numbers: Rows) -> Iterator[tuple[PreparedTokens, int]]:
        for prepared in self._read([every_view(rows, numbers) for rows in parts]):
            yield prepared, len(numbers)

    def _read(self, batches: Sequence[Batch]) -> Iterator[PreparedTokens]:
        if self._kept is None:
            for (rows, views), values in zip(batches, self._fed.read(batches), strict=True):
                yield self._prepared(values, rows, views)
            return
        for rows, views in batches:
            flat = self._index(self._place[rows] * self._kept.shape[1] + views)
            yield PreparedTokens(self._kept.flatten(0, 1).index_select(0, flat), None)

    def _prepared(self, values: Tensor, rows: Rows, views: Rows) -> PreparedTokens:
        # A GPU standardises a small batch in one pass, without statistics.
        if not self._remembers or (self._device.type != "cpu" and is_small(values)):
            return prepare(values, memory=self._memory)
        if self._statistics is None:
            self._statistics = torch.zeros(self._table, device=self._device)
        places = self._place[rows]
        at = self._index(places), self._index(views)
        if not self._known[places, views].all():  # asked of the host: a GPU would have to be waited for
            fresh = token_statistics(values)
            self._statistics[at] = torch.stack([fresh.mean, fresh.rstd], dim=1).float()
            self._known[places, views] = True
        known = self._statistics[at]
        return prepare(values, TokenStatistics(known[:, 0], known[:, 1]), memory=self._memory)

    def _index(self, numbers: Rows) -> Tensor:
        return torch.from_numpy(numbers).to(self._device)
