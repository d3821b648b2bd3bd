"""Which view an epoch reads: each pass once in a round, from seed, epoch and video alone."""

from __future__ import annotations

import numpy as np
import pytest

from distributed.view_draws import TrainingViews, ViewDraws

VIDEOS = np.arange(50)


def draws(take: TrainingViews = "all", *, seed: int = 0, clean: int = 1, passes: int = 4) -> ViewDraws:
    return ViewDraws(seed, len(VIDEOS), clean=clean, passes=passes, take=take)


@pytest.mark.parametrize(("take", "views"), [("all", {0, 1, 2, 3, 4}), ("augmented", {1, 2, 3, 4})])
def test_every_round_reads_each_pass_of_each_video_once(take: TrainingViews, views: set[int]) -> None:
    source = draws(take)
    for start in (1, 1 + len(views)):
        read = np.stack([source.views_of(VIDEOS, epoch) for epoch in range(start, start + len(views))], axis=1)
        assert all(set(row) == views for row in read.tolist())
        assert len({tuple(row) for row in read.tolist()}) > 10  # no common order
    first, second = (np.stack([source.views_of(VIDEOS, start + e) for e in range(len(views))]) for start in (1, 6))
    assert not np.array_equal(first, second)


def test_a_draw_follows_from_seed_epoch_and_video_alone() -> None:
    one, other = draws(seed=3, clean=3), draws(seed=3, clean=3)
    forward = {epoch: one.views_of(VIDEOS, epoch) for epoch in range(1, 12)}
    for epoch in (7, 2, 11, 2):
        some = np.array([40, 3])
        assert other.views_of(some, epoch).tolist() == forward[epoch][some].tolist()
    different = draws(seed=4, clean=3)
    assert any(different.views_of(VIDEOS, epoch).tolist() != found.tolist() for epoch, found in forward.items())


def test_the_clean_pass_is_one_pass_however_many_crops_it_has() -> None:
    source = draws(clean=3, passes=4)
    read = np.concatenate([source.views_of(VIDEOS, epoch) for epoch in range(1, 101)])
    counts = np.bincount(read, minlength=7)
    assert counts[:3].sum() == counts[3] == counts[6] == 1000
    assert counts[:3].min() > 250


def test_without_passes_a_crop_is_drawn_as_ever_and_an_evaluation_has_no_epoch() -> None:
    """Golden: what a store without augmented passes gave before there were any."""
    source = draws(seed=3, clean=3, passes=0)
    assert source.views_of(VIDEOS[:6], 7).tolist() == np.random.default_rng([3, 7]).integers(3, size=50)[:6].tolist()
    assert draws("clean", seed=3, clean=3).views_of(VIDEOS, 7).tolist() == source.views_of(VIDEOS, 7).tolist()
    assert draws("augmented").views_of(VIDEOS, None).tolist() == [0] * 50
    assert draws("clean").views_of(VIDEOS, 3).tolist() == [0] * 50


@pytest.mark.parametrize(("take", "views"), [("all", {0, 1, 2, 3, 4}), ("augmented", {2, 3, 4}), ("clean", {0, 1})])
def test_what_may_be_drawn_is_what_epochs_draw(take: TrainingViews, views: set[int]) -> None:
    source = draws(take, clean=2, passes=3)
    assert set(source.drawn.tolist()) == views
    assert {int(view) for epoch in range(1, 20) for view in source.views_of(VIDEOS, epoch)} == views


def test_augmented_passes_that_are_not_there_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="no augmented pass is stored; set views.train"):
        draws("augmented", passes=0)
