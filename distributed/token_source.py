"""Where training reads tokens: what a source offers, and the source for tokens that are in memory."""

from typing import Protocol

import torch
from torch import Tensor

from distributed.batch_memory import BatchMemory
from distributed.view_draws import DrawnTokens, Rows, TrainingViews, ViewDraws
from search_spaces.probe import TokenGrid

__all__ = ["Rows", "TensorTokens", "TokenSource"]


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

    @property
    def num_views(self) -> int:
        """How many views of a video `read` knows: first the clean ones, then the augmented passes."""

    @property
    def num_clean(self) -> int:
        """How many of them are clean."""

    @property
    def drawn_views(self) -> Rows:
        """Numbers of the views that training may draw, int64[n]."""

    def read(self, rows: Rows, views: Rows, memory: BatchMemory | None = None) -> Tensor:
        """[B, N, D]: the view of each video whose number is given; in `memory`, where they have to be copied."""

    def views_of(self, rows: Rows, epoch: int | None) -> Rows:
        """int64[B]: the number of the view of each video that is trained on in an epoch."""

    def evaluation_views(self, rows: Rows) -> Tensor:
        """[B, V, N, D]: all clean views of each video."""


class TensorTokens(DrawnTokens):
    """Tokens held in memory, [M, V, N, D] or with one view [M, N, D], of any floating type, on any device.

    The last `passes` of the V views are augmented passes.
    """

    def __init__(
        self,
        tokens: Tensor,
        *,
        seed: int = 0,
        grid: TokenGrid | None = None,
        passes: int = 0,
        take: TrainingViews = "all",
    ) -> None:
        self._tokens = tokens if tokens.ndim == 4 else tokens[:, None]
        self.num_videos = len(tokens)
        self.shape = (self._tokens.shape[2], self._tokens.shape[3])
        self.grid = grid or TokenGrid(1, 1, 1, self.shape[0])
        clean = self._tokens.shape[1] - passes
        super().__init__(ViewDraws(seed, self.num_videos, clean=clean, passes=passes, take=take))

    def read(self, rows: Rows, views: Rows, memory: BatchMemory | None = None) -> Tensor:
        """[B, N, D]: the view of each video whose number is given, in memory of their own."""
        return self._tokens[torch.from_numpy(rows), torch.from_numpy(views)]
