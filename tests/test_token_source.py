"""Tokens in memory: which view is read when."""

import numpy as np
import torch

from distributed.token_source import TensorTokens, TokenSource


def tokens(views: int) -> torch.Tensor:
    """[40, V, 2, 3]; every value of a token is 10 · video + view."""
    values = 10 * torch.arange(40)[:, None] + torch.arange(views)
    return values[:, :, None, None].expand(40, views, 2, 3).to(torch.float16)


def test_shape_and_type_are_those_of_the_tensor() -> None:
    source: TokenSource = TensorTokens(tokens(3))
    assert (source.num_videos, source.shape) == (40, (2, 3))
    rows = np.array([7, 2])
    drawn = source.read(rows, source.views_of(rows, 1))
    assert drawn.shape == (2, 2, 3) and drawn.dtype == torch.float16
    assert (source.num_views, source.num_clean) == (3, 3)
    assert source.evaluation_views(rows)[..., 0, 0].tolist() == [[70, 71, 72], [20, 21, 22]]


def test_without_an_epoch_the_first_view_is_read() -> None:
    assert TensorTokens(tokens(3)).gather(np.array([4, 1]), None)[:, 0, 0].tolist() == [40, 10]


def test_view_follows_from_seed_epoch_and_video_alone() -> None:
    rows = np.arange(40)
    views = [TensorTokens(tokens(3), seed=5).gather(rows, epoch)[:, 0, 0] % 10 for epoch in (1, 2)]
    assert set(views[0].tolist()) == {0, 1, 2}
    assert not torch.equal(views[0], views[1])
    again = TensorTokens(tokens(3), seed=5).gather(rows[::-1].copy(), 1)[:, 0, 0] % 10
    assert torch.equal(again, views[0].flip(0))
    other = TensorTokens(tokens(3), seed=6).gather(rows, 1)[:, 0, 0] % 10
    assert not torch.equal(other, views[0])


def test_one_view_needs_no_axis() -> None:
    source = TensorTokens(tokens(1)[:, 0])
    assert source.shape == (2, 3)
    assert source.gather(np.array([3]), 2)[0, 0, 0].item() == 30
    assert source.evaluation_views(np.array([3])).shape == (1, 1, 2, 3)


def test_an_evaluation_reads_clean_views_and_training_what_it_is_told_to() -> None:
    rows = np.arange(40)
    for take, views in (("all", {0, 1, 2, 3}), ("augmented", {2, 3}), ("clean", {0, 1})):
        source = TensorTokens(tokens(4), passes=2, take=take)  # type: ignore[arg-type]
        assert source.evaluation_views(rows).shape[1] == source.num_clean == 2
        assert source.num_views == (2 if take == "clean" else 4)
        drawn = {int(value) % 10 for epoch in range(1, 9) for value in source.gather(rows, epoch)[:, 0, 0]}
        assert drawn == views
