"""Pooling keeps the means that its name says."""

from __future__ import annotations

import pytest
import torch

from distributed.pooling import check_pool, pool_tokens, pooled_grid


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randn(2, 3, 4, 6, 6, 5, generator=torch.Generator().manual_seed(0))


def test_none_keeps_everything(tokens: torch.Tensor) -> None:
    assert pool_tokens(tokens, "none") is tokens


def test_space_is_the_mean_of_each_square(tokens: torch.Tensor) -> None:
    pooled = pool_tokens(tokens, "space:3")
    assert pooled.shape == (2, 3, 4, 2, 2, 5)
    torch.testing.assert_close(pooled[1, 2, 3, 1, 0], tokens[1, 2, 3, 3:6, 0:3].mean(dim=(0, 1)))


def test_time_is_the_mean_over_space(tokens: torch.Tensor) -> None:
    torch.testing.assert_close(pool_tokens(tokens, "time"), tokens.mean(dim=(3, 4), keepdim=True))


def test_mean_is_the_mean_of_everything_but_views(tokens: torch.Tensor) -> None:
    torch.testing.assert_close(pool_tokens(tokens, "mean"), tokens.mean(dim=(1, 2, 3, 4), keepdim=True))


def test_half_precision_is_averaged_in_single_precision() -> None:
    tokens = torch.full((1, 1, 1, 64, 64, 1), 1000.0, dtype=torch.float16)
    assert pool_tokens(tokens, "mean").item() == 1000.0


def test_sizes_of_the_published_table() -> None:
    """DOMAIN facts: ViT-H/16 at 384 px, 8 segments: 94 MB, 5.9 MB, 164 kB, 2.6 kB a video."""
    grid = (8, 8, 24, 24)
    sizes = {"none": 94_371_840, "space:4": 5_898_240, "time": 163_840, "mean": 2_560}
    for pool, size in sizes.items():
        segments, t, h, w = pooled_grid(pool, grid)
        assert segments * t * h * w * 1280 * 2 == size


@pytest.mark.parametrize("pool", ["space", "space:1", "space:x", "max", "", "space:-2"])
def test_unknown_pools_are_refused(pool: str) -> None:
    with pytest.raises(ValueError, match=r"tokens\.pool"):
        check_pool(pool)


def test_a_kernel_that_does_not_divide_names_those_that_do() -> None:
    with pytest.raises(ValueError, match="choose from space:2, space:3, space:6"):
        pooled_grid("space:4", (8, 8, 6, 6))
