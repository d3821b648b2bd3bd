"""Tokens made ready for readouts, and what does not change from epoch to epoch kept.

Frozen tokens have the same statistics in every epoch: they are computed when a view of a video is first read, and take
8 bytes a token. A set that is small as a whole is standardised once and kept.
"""

import math

import numpy as np
import torch
from torch import Tensor

from distributed.readout import PreparedTokens, TokenStatistics, is_small, prepare, standardise, token_statistics
from distributed.token_source import Rows, TokenSource

# Standardised tokens of all videos of a training that are kept as a whole, in bytes.
_KEPT_BYTES = 128 * 2**20
# Statistics that are kept. Of more views than that allows each is read so seldom that keeping them saves little.
_STATISTICS_BYTES = 8 * 2**30


class PreparedSource:
    """A source whose batches come prepared, on a device; `rows` are all the videos that will be asked for."""

    def __init__(self, tokens: TokenSource, rows: Rows, device: torch.device) -> None:
        self._tokens, self._device = tokens, device
        self._place = np.full(tokens.num_videos, -1, np.int64)
        rows = np.unique(rows)
        self._place[rows] = np.arange(len(rows))
        self._kept = self._keep(rows)
        # Mean and deviation of every token of a view, made when they are first needed; 0 is not known yet.
        self._statistics: Tensor | None = None
        self._table = (len(rows), tokens.num_views, 2, tokens.shape[0])
        self._remembers = 4 * math.prod(self._table) <= _STATISTICS_BYTES

    def _keep(self, rows: Rows) -> Tensor | None:
        views = self._tokens.num_views
        first = self._all_views(rows[:1]).to(self._device)
        size = 4 * len(rows) * first.numel()
        if size > _KEPT_BYTES or not is_small(first[: self._tokens.num_clean]):
            return None
        step = max(1, len(rows) // max(1, size // 2**22))
        parts = [self._all_views(rows[i : i + step]) for i in range(0, len(rows), step)]
        kept = torch.cat([standardise(part.to(self._device)) for part in parts])
        return kept.view(len(rows), views, *self._tokens.shape)

    def _all_views(self, rows: Rows) -> Tensor:
        """Clean views and augmented passes of each video one after the other, [B * num_views, N, D]."""
        views = self._tokens.num_views
        return self._tokens.read(np.repeat(rows, views), np.tile(np.arange(views), len(rows)))

    def gather(self, rows: Rows, epoch: int) -> PreparedTokens:
        """One view of each video, which one follows from the epoch."""
        views = self._tokens.views_of(rows, epoch)
        if self._kept is not None:
            flat = self._index(self._place[rows] * self._kept.shape[1] + views)
            return PreparedTokens(self._kept.flatten(0, 1).index_select(0, flat), None)
        return self._prepared(self._tokens.read(rows, views).to(self._device), rows, views)

    def evaluation_views(self, rows: Rows) -> tuple[PreparedTokens, int]:
        """All clean views of each video, one after the other, and how many a video has."""
        return self._views(rows, np.arange(self._tokens.num_clean))

    def training_views(self, rows: Rows) -> tuple[PreparedTokens, int]:
        """All views of each video that training may draw, likewise."""
        return self._views(rows, self._tokens.drawn_views)

    def _views(self, rows: Rows, numbers: Rows) -> tuple[PreparedTokens, int]:
        repeated, views = np.repeat(rows, len(numbers)), np.tile(numbers, len(rows))
        if self._kept is not None:
            flat = self._index(self._place[repeated] * self._kept.shape[1] + views)
            return PreparedTokens(self._kept.flatten(0, 1).index_select(0, flat), None), len(numbers)
        values = self._tokens.read(repeated, views).to(self._device)
        return self._prepared(values, repeated, views), len(numbers)

    def _prepared(self, values: Tensor, rows: Rows, views: Rows) -> PreparedTokens:
        if is_small(values) or not self._remembers:
            return prepare(values)
        if self._statistics is None:
            self._statistics = torch.zeros(self._table, device=self._device)
        at = self._index(self._place[rows]), self._index(views)
        known = self._statistics[at]
        if not bool(known[:, 1, 0].all()):  # a reciprocal deviation is never 0
            fresh = token_statistics(values)
            known = torch.stack([fresh.mean, fresh.rstd], dim=1).float()
            self._statistics[at] = known
        return prepare(values, TokenStatistics(known[:, 0], known[:, 1]))

    def _index(self, numbers: Rows) -> Tensor:
        return torch.from_numpy(numbers).to(self._device)
