"""Tokens as they were read, for a probe that mixes them: what a `PreparedSource` is for the others."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from distributed.feeding import DeviceTokens
from distributed.token_source import Rows


class RawSource:
    """A source whose batches lie on a device, [B, N, D] of the store's type."""

    def __init__(self, tokens: DeviceTokens) -> None:
        self._tokens = tokens

    def gather(self, parts: Sequence[Rows], epoch: int) -> Iterator[Tensor]:
        """Of each part in turn: one view of each video, which one follows from the epoch."""
        return self._tokens.gather(parts, epoch)

    def evaluation_views(self, parts: Sequence[Rows]) -> Iterator[tuple[Tensor, int]]:
        """Of each part in turn: all clean views of each video, one after the other, and how many a video has."""
        for values in self._tokens.evaluation_views(parts):
            yield values, self._tokens.num_clean
