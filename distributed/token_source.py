"""Where training reads tokens: what a source offers, and the source for tokens that are in memory."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from search_spaces.probe import TokenGrid

Rows = npt.NDArray[np.int64]


class TokenSource(Protocol):
    """Tokens of numbered videos."""

    @property
    def num_videos(self) -> int:
        """How many videos there are."""

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D): tokens of a video, features of a token."""

    @property
    def grid(self) -> TokenGrid:
        """How the N tokens of a video lie."""

    def gather(self, rows: Rows, epoch: int | None) -> Tensor:
        """[B, N, D]: one view of each video, which one follows from the epoch."""

    def views_of(self, rows: Rows, epoch: int | None) -> Rows:
        """int64[B]: the number of the view that `gather` gives of each video."""

    def evaluation_views(self, rows: Rows) -> Tensor:
        """[B, V, N, D]: all views of each video."""


class TensorTokens:
    """Tokens held in memory, [M, V, N, D] or with one view [M, N, D], of any floating type, on any device."""

    def __init__(self, tokens: Tensor, *, seed: int = 0, grid: TokenGrid | None = None) -> None:
        self._tokens = tokens if tokens.ndim == 4 else tokens[:, None]
        self._seed = seed
        self.num_videos = len(tokens)
        self.shape = (self._tokens.shape[2], self._tokens.shape[3])
        self.grid = grid or TokenGrid(1, 1, 1, self.shape[0])

    def gather(self, rows: Rows, epoch: int | None) -> Tensor:
        """[B, N, D]: a view per video that follows from seed, epoch and video; the first without an epoch."""
        return self._tokens[torch.from_numpy(rows), torch.from_numpy(self.views_of(rows, epoch))]

    def views_of(self, rows: Rows, epoch: int | None) -> Rows:
        """int64[B]: the number of the view that `gather` gives of each video."""
        if epoch is None:
            return np.zeros(len(rows), np.int64)
        rng = np.random.default_rng([self._seed, epoch])
        return rng.integers(self._tokens.shape[1], size=self.num_videos)[rows]

    def evaluation_views(self, rows: Rows) -> Tensor:
        """[B, V, N, D]: all views of each video."""
        return self._tokens[torch.from_numpy(rows)]
