"""Tokens as they were read, for a probe that mixes them: what a `PreparedSource` is for the others."""

import torch
from torch import Tensor

from distributed.token_source import Rows, TokenSource


class RawSource:
    """A source whose batches lie on a device, [B, N, D] of the store's type."""

    def __init__(self, tokens: TokenSource, device: torch.device) -> None:
        self._tokens, self._device = tokens, device

    def gather(self, rows: Rows, epoch: int) -> Tensor:
        """One view of each video, which one follows from the epoch."""
        return self._tokens.read(rows, self._tokens.views_of(rows, epoch)).to(self._device)

    def evaluation_views(self, rows: Rows) -> tuple[Tensor, int]:
        """All views of each video, one after the other, and how many a video has."""
        values = self._tokens.evaluation_views(rows).to(self._device)
        return values.flatten(0, 1), values.shape[1]
