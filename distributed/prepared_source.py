"""Tokens made ready for readouts, and what does not change from epoch to epoch kept.

Frozen tokens have the same statistics in every epoch: they are computed when a view of a video is first read, and take
8 bytes a token. A set that is small as a whole is standardised once and kept.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from distributed.feeding import DeviceTokens
from distributed.readout import PreparedTokens, TokenStatistics, is_small, prepare, standardise, token_statistics
from distributed.token_source import Rows, TokenSource

# Standardised tokens of all videos of a training that are kept as a whole, in bytes: every trial has its own.
_KEPT_BYTES = 36 * 2**20


class PreparedSource:
    """A source whose batches come prepared, on a device; `rows` are all the videos that will be asked for.

    `budget`: the bytes of tokens that may be kept on the device as they are.
    """

    def __init__(self, tokens: TokenSource, rows: Rows, device: torch.device, *, budget: int = 0) -> None:
        self._tokens, self._device = tokens, device
        self._fed = DeviceTokens(tokens, rows, device, budget=budget)
        self._place = np.full(tokens.num_videos, -1, np.int64)
        rows = np.unique(rows)
        self._place[rows] = np.arange(len(rows))
        self._kept = self._keep(rows)
        # Mean and deviation of every token of a view, made when the number of views is known, and which are there.
        self._statistics: Tensor | None = None
        self._known = np.empty((0, 0), bool)

    def _keep(self, rows: Rows) -> Tensor | None:
        first = self._tokens.evaluation_views(rows[:1]).to(self._device)
        size = 4 * len(rows) * first.numel()
        if size > _KEPT_BYTES or not is_small(first.flatten(0, 1)):
            return None
        step = max(1, len(rows) // max(1, size // 2**22))
        parts = [self._tokens.evaluation_views(rows[i : i + step]) for i in range(0, len(rows), step)]
        return torch.cat([standardise(part.to(self._device)) for part in parts])

    def gather(self, parts: Sequence[Rows], epoch: int) -> Iterator[PreparedTokens]:
        """Of each part in turn: one view of each video, which one follows from the epoch."""
        if self._kept is None:
            for rows, values in zip(parts, self._fed.gather(parts, epoch), strict=True):
                yield self._prepared(values, rows, self._tokens.views_of(rows, epoch))
            return
        for rows in parts:
            flat = self._place[rows] * self._kept.shape[1] + self._tokens.views_of(rows, epoch)
            yield PreparedTokens(self._kept.flatten(0, 1).index_select(0, self._index(flat)), None)

    def evaluation_views(self, parts: Sequence[Rows]) -> Iterator[tuple[PreparedTokens, int]]:
        """Of each part in turn: all views of each video, one after the other, and how many a video has."""
        if self._kept is None:
            for rows, values in zip(parts, self._fed.evaluation_views(parts), strict=True):
                count = values.shape[1]
                views = np.tile(np.arange(count), len(rows))
                yield self._prepared(values.flatten(0, 1), np.repeat(rows, count), views), count
            return
        for rows in parts:
            values = self._kept.index_select(0, self._index(self._place[rows]))
            yield PreparedTokens(values.flatten(0, 1), None), values.shape[1]

    def _prepared(self, values: Tensor, rows: Rows, views: Rows) -> PreparedTokens:
        if is_small(values):
            return prepare(values)
        if self._statistics is None:
            shape = (int(self._place.max()) + 1, self._tokens.evaluation_views(rows[:1]).shape[1])
            self._statistics = torch.zeros((*shape, 2, values.shape[1]), device=self._device)
            self._known = np.zeros(shape, bool)
        places = self._place[rows]
        at = self._index(places), self._index(views)
        if not self._known[places, views].all():  # asked of the host: a GPU would have to be waited for
            fresh = token_statistics(values)
            self._statistics[at] = torch.stack([fresh.mean, fresh.rstd], dim=1).float()
            self._known[places, views] = True
        known = self._statistics[at]
        return prepare(values, TokenStatistics(known[:, 0], known[:, 1]))

    def _index(self, numbers: Rows) -> Tensor:
        return torch.from_numpy(numbers).to(self._device)
