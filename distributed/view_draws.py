"""Which view of a video an epoch of training reads: a clean one, or one of the augmented passes.

torch alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from distributed.batch_memory import BatchMemory

Rows = npt.NDArray[np.int64]
Batch = tuple[Rows, Rows]  # the numbers of videos, and of the view of each
TrainingViews = Literal["all", "augmented", "clean"]
TRAINING_VIEWS: tuple[TrainingViews, ...] = ("all", "augmented", "clean")


class ViewDraws:
    """The draws of one training. Views are numbered: first the `clean` ones, then the augmented `passes`.

    With `take` all, the clean pass is one pass beside the augmented ones; augmented: these alone; clean: the clean
    pass alone, as if there were no other. A video's passes come in an order drawn anew each time that all have been
    read, so that in as many epochs as there are passes each is read once. Of several clean views chance takes one.
    """

    def __init__(self, seed: int, num_videos: int, *, clean: int, passes: int, take: TrainingViews) -> None:
        """Raises ValueError for augmented passes alone where there is none."""
        if take == "augmented" and not passes:
            raise ValueError(
                "training.views is augmented, and no augmented pass is stored; set views.train to a number of passes, "
                "or training.views to all"
            )
        self.clean, self.passes = clean, 0 if take == "clean" else passes
        self._seed, self._num_videos, self._with_clean = seed, num_videos, take != "augmented"
        self._drawn: tuple[int, Rows] | None = None

    @property
    def num_views(self) -> int:
        """How many views may be read; `clean` of them are read by an evaluation."""
        return self.clean + self.passes

    @property
    def drawn(self) -> Rows:
        """Numbers of the views that `views_of` may give in some epoch, int64[n]."""
        return np.arange(0 if self._with_clean else self.clean, self.num_views)

    def views_of(self, rows: Rows, epoch: int | None) -> Rows:
        """The number of each video's view, int64[B]: it follows from seed, epoch (from 1) and video alone.

        Without an epoch the first clean view.
        """
        if epoch is None or self.num_views == 1:
            return np.zeros(len(rows), np.int64)
        if self._drawn is None or self._drawn[0] != epoch:
            self._drawn = epoch, self._draw(epoch)
        return self._drawn[1][rows]

    def _draw(self, epoch: int) -> Rows:
        rng = np.random.default_rng([self._seed, epoch])
        clean = rng.integers(self.clean, size=self._num_videos)
        if not self.passes:
            return clean
        count = self.passes + self._with_clean
        round_number, place = divmod(epoch - 1, count)
        orders = np.tile(np.arange(count), (self._num_videos, 1))
        # A generator of its own, as the order of a round serves all its epochs.
        pass_of = np.random.default_rng([self._seed, round_number, count]).permuted(orders, axis=1)[:, place]
        return np.where(pass_of < self.passes, self.clean + pass_of, clean)


def every_view(rows: Rows, numbers: Rows) -> Batch:
    """The views of these numbers of each video, one video after the other."""
    return np.repeat(rows, len(numbers)), np.tile(numbers, len(rows))


class DrawnTokens(ABC):
    """Tokens of numbered videos in numbered views, of which an epoch reads those that `draws` draws."""

    def __init__(self, draws: ViewDraws) -> None:
        self._draws = draws

    @property
    def num_views(self) -> int:
        """How many views of a video `read` knows: the clean ones, then what augmented passes training takes."""
        return self._draws.num_views

    @property
    def num_clean(self) -> int:
        """How many of them are clean."""
        return self._draws.clean

    @property
    def drawn_views(self) -> Rows:
        """Numbers of the views that training may draw, int64[n]."""
        return self._draws.drawn

    @abstractmethod
    def read(self, rows: Rows, views: Rows, memory: BatchMemory | None = None) -> Tensor:
        """[B, N, D], as they are kept: the view of each video whose number is given; copied to `memory`, if at all."""

    def views_of(self, rows: Rows, epoch: int | None = None) -> Rows:
        """int64[B]: the number of the view of each video that is trained on in an epoch; without one the first."""
        return self._draws.views_of(rows, epoch)

    def gather(self, rows: Rows, epoch: int | None = None) -> Tensor:
        """[B, N, D]: the view of each video that `views_of` draws."""
        return self.read(rows, self.views_of(rows, epoch))

    def evaluation_views(self, rows: Rows) -> Tensor:
        """[B, V, N, D]: all clean views of each video."""
        found = self.read(*every_view(rows, np.arange(self.num_clean)))
        return found.view(len(rows), self.num_clean, *found.shape[1:])
