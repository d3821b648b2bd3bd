"""What is kept of an encoder's tokens: all of them, or means over space and time."""

from __future__ import annotations

import torch

Grid = tuple[int, int, int, int]


def pooled_grid(pool: str, grid: Grid) -> Grid:
    """The grid `(segments, t, h, w)` that is left of `grid` by the setting `tokens.pool`.

    Raises:
        ValueError: the setting is none of `none`, `space:k`, `time`, `mean`, or k does not divide the grid.
    """
    segments, t, h, w = grid
    if pool == "none":
        return grid
    if pool == "time":
        return segments, t, 1, 1
    if pool == "mean":
        return 1, 1, 1, 1
    k = _kernel(pool)
    if h % k or w % k:
        raise ValueError(
            f"tokens.pool is {pool!r}, and {k} does not divide the encoder's {h} x {w} tokens; "
            f"choose from {', '.join(f'space:{d}' for d in range(2, min(h, w) + 1) if h % d == w % d == 0)}"
        )
    return segments, t, h // k, w // k


def check_pool(pool: str) -> str:
    """The setting itself, if it is well formed; raises ValueError otherwise."""
    if pool not in ("none", "time", "mean"):
        _kernel(pool)
    return pool


def pool_tokens(tokens: torch.Tensor, pool: str) -> torch.Tensor:
    """`float[V, segments, t, h, w, D]` to the pooled grid, averaged in float32."""
    views, *grid, dim = tokens.shape
    segments, t, h, w = pooled_grid(pool, (grid[0], grid[1], grid[2], grid[3]))
    if pool == "none":
        return tokens
    # Each of the four axes splits into what is kept and what is averaged.
    kept = (views, segments, -1, t, grid[1] // t, h, grid[2] // h, w, grid[3] // w, dim)
    return tokens.float().reshape(kept).mean(dim=(2, 4, 6, 8))


def _kernel(pool: str) -> int:
    name, _, size = pool.partition(":")
    if name == "space" and size.isdecimal() and int(size) >= 2:
        return int(size)
    raise ValueError(f"tokens.pool is {pool!r}; it must be none, space:k (k at least 2), time or mean")
