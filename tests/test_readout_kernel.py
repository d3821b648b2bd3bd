"""How a readout is laid out on a GPU. What its programs compute is in test_readout_programs.py."""

import math

import pytest

from distributed.readout_kernel import FEW, plan_for, tiles_per_part

H100, A100, L4 = 227 * 1024, 163 * 1024, 99 * 1024


@pytest.mark.parametrize("shared", [H100, A100, L4])
@pytest.mark.parametrize("dim", [16, 192, 768, 1024, 1280, 1408, 1664, 2048])
def test_few_rows_and_two_tiles_fit_shared_memory(dim: int, shared: int) -> None:
    plan = plan_for(FEW, dim, shared)
    if not plan.few:
        assert shared == L4 and dim > 1280, "read twice, as nothing else fits"
        return
    width = plan.chunk * math.ceil(dim / plan.chunk)
    assert 2 * width * (plan.rows + (plan.stages - 1) * plan.tile) < shared
    assert plan.chunk & (plan.chunk - 1) == 0 and width < dim + plan.chunk
    assert plan_for(FEW + 1, dim, shared).rows == 64 and plan_for(65, dim, shared).rows == 128


def test_what_no_registers_hold_is_read_twice() -> None:
    assert plan_for(FEW, 2048, H100).few and not plan_for(FEW, 4096, H100).few


@pytest.mark.parametrize(("videos", "tiles"), [(2, 576), (2, 1152), (16, 576), (1, 3), (200, 576), (64, 100)])
def test_parts_keep_all_processors_busy(videos: int, tiles: int) -> None:
    each = tiles_per_part(videos, tiles, 132)
    parts = math.ceil(tiles / each)
    assert (parts - 1) * each < tiles <= parts * each, "no part is empty"
    waves = math.ceil(videos * parts / 132)
    busy = videos * tiles / (waves * each * 132)
    assert busy > 0.85 or videos * tiles < 132
    assert parts <= 66 or videos == 1, "each part's sums are written and read again"
