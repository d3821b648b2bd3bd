"""Attention laid onto frames: a query that finds one token lights its patch in its frames, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from distributed.attention import FrameGrid, attention_weights, effective_tokens, frame_heat, is_uniform
from distributed.readout import readout
from search_spaces.family import build_probe
from search_spaces.probe import Probe, TokenGrid

GRID = (2, 4, 3, 3)  # segments, t, h, w
RESOLUTION, PATCH = 24, 8
# Two clips of 8 frames, two frames a token; the second begins four frames later and ends on a repeated frame.
CLIPS = np.array([[0, 1, 2, 3, 4, 5, 6, 7], [4, 5, 6, 7, 8, 9, 9, 9]])


class Pointer(Probe):
    """A probe whose rows are given."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows = rows

    def queries(self) -> Tensor:
        return self.rows

    def classify(self, readout: Tensor) -> Tensor:
        return readout[:, 0]


def signed(views: int, places: list[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
    """Tokens of equal norms, and a row for each (view, segment, t, h, w) that only its token answers."""
    tokens = torch.zeros(views, *GRID, 32)
    tokens[..., 0], tokens[..., 1] = 1, -1
    rows = torch.zeros(len(places), 32)
    for number, place in enumerate(places):
        tokens[place] = 0
        tokens[place][2 + 2 * number], tokens[place][3 + 2 * number] = 1, -1
        rows[number, 2 + 2 * number], rows[number, 3 + 2 * number] = 10, -10
    return tokens.reshape(views, -1, 32), rows


def grid(views: int = 1) -> FrameGrid:
    corners = [(3, 5)] if views == 1 else [(0, 0), (0, 6), (0, 12)]
    return FrameGrid(CLIPS, corners, RESOLUTION, (30, 36))


def test_a_row_that_answers_one_token_lights_its_patch_in_its_frames_alone() -> None:
    tokens, rows = signed(1, [(0, 0, 1, 2, 0)])
    weights = attention_weights(Pointer(rows), tokens, GRID)
    assert weights.shape == (1, 1, *GRID) and weights[0, 0, 0, 1, 2, 0] == pytest.approx(1, abs=1e-6)
    # Token t = 1 of the first clip: frames 2 and 3; patch (2, 0) of a crop whose corner is (3, 5).
    for frame in range(10):
        heat = frame_heat(weights[0], grid(), frame)
        expected = np.zeros((30, 36))
        if frame in (2, 3):
            expected[3 + 16 : 3 + 24, 5:13] = 0.5 / PATCH**2
        np.testing.assert_allclose(heat, expected, atol=1e-8)


def test_pixels_that_fill_no_patch_get_nothing() -> None:
    """A crop of 26 pixels with patches of 8: the last two rows and columns belong to no token."""
    weights = np.full((1, *GRID), 1 / np.prod(GRID), np.float32)
    wider = FrameGrid(CLIPS, [(3, 4)], 26, (30, 36))
    total = sum(frame_heat(weights, wider, frame) for frame in range(10))
    assert np.sum(total) == pytest.approx(1, abs=1e-6)
    lit = np.argwhere(np.asarray(total) > 0)
    assert lit.min(axis=0).tolist() == [3, 4] and lit.max(axis=0).tolist() == [3 + 23, 4 + 23]


def test_a_frame_that_a_token_holds_twice_gets_all_of_it() -> None:
    tokens, rows = signed(1, [(0, 1, 3, 0, 1), (0, 1, 2, 0, 1)])
    weights = attention_weights(Pointer(rows), tokens, GRID)
    # The second clip ends 8 9 | 9 9: its last token is frame 9 alone, the one before is frames 8 and 9.
    assert [frame_heat(weights[0], grid(), frame).sum() for frame in (7, 8, 9)] == pytest.approx([0, 0, 1], abs=1e-6)
    assert [frame_heat(weights[1], grid(), frame).sum() for frame in (7, 8, 9)] == pytest.approx(
        [0, 0.5, 0.5], abs=1e-6
    )
    np.testing.assert_array_equal(np.argwhere(frame_heat(weights[0], grid(), 9) > 1e-4).min(axis=0), [3, 5 + 8])


def test_views_share_the_whole_and_lie_where_they_were_cropped() -> None:
    tokens, rows = signed(3, [(2, 0, 0, 1, 1)])
    weights = attention_weights(Pointer(rows), tokens, GRID)
    total = np.sum([frame_heat(weights[0], grid(3), frame) for frame in range(10)], axis=0)
    assert total.sum() == pytest.approx(1, abs=1e-5)
    bright = np.argwhere(frame_heat(weights[0], grid(3), 0) > 1e-3)
    assert bright.min(axis=0).tolist() == [8, 12 + 8] and bright.max(axis=0).tolist() == [15, 12 + 15]
    # In the other views the row finds nothing and spreads its weights evenly.
    np.testing.assert_allclose(weights[0, :2], 1 / 72, atol=1e-6)


def test_pooled_tokens_are_as_large_as_what_they_were_pooled_from() -> None:
    weights = np.zeros((1, 2, 4, 1, 1), np.float32)
    weights[0, 1, 0] = 1
    heat = frame_heat(weights, grid(), 4)
    np.testing.assert_allclose(heat[3:27, 5:29], 0.5 / RESOLUTION**2)
    assert heat.sum() == pytest.approx(0.5)


def test_the_weights_are_those_of_the_readout() -> None:
    probe = build_probe("attentive", PARAMS, dim=32, num_classes=4, seed=3).eval()
    tokens = torch.randn(2, 72, 32, generator=torch.Generator().manual_seed(0)) * 3
    weights = torch.from_numpy(attention_weights(probe, tokens, GRID)).reshape(8, 2, 72)
    standard = (tokens - tokens.mean(-1, keepdim=True)) / torch.sqrt(tokens.var(-1, correction=0, keepdim=True) + 1e-5)
    torch.testing.assert_close(torch.einsum("rvn,vnd->vrd", weights, standard), readout(tokens, probe.queries()))


PARAMS = {f"attentive.{key}": value for key, value in (("queries", 2), ("heads", 4), ("mlp_ratio", 1.0), ("depth", 1))}
PARAMS["attentive.dropout"] = 0.0


def test_mean_pooled_probes_are_told_from_those_that_look() -> None:
    linear = build_probe("linear", {"linear.dropout": 0.0}, dim=32, num_classes=4, seed=0)
    assert is_uniform(linear)
    assert not is_uniform(build_probe("attentive", PARAMS, dim=32, num_classes=4, seed=0))
    weights = attention_weights(linear, torch.randn(1, 72, 32), GRID)
    np.testing.assert_allclose(weights, 1 / 72)


def test_effective_tokens_count_what_a_row_attends_to() -> None:
    weights = np.zeros((3, 1, *GRID), np.float32)
    weights[0] = 1 / 72
    weights[1, 0, 0, 0, 0, 0] = 1
    weights[2, 0, 1, 2, :2, :2] = 0.25
    np.testing.assert_allclose(effective_tokens(weights), [72, 1, 4], rtol=1e-5)


def test_rows_that_attend_within_segments_share_their_weight_among_them() -> None:
    params = {f"segment.{k}": v for k, v in {"queries": 2, "width": 8, "heads": 2, "layers": 1, "dropout": 0.0}.items()}
    probe = build_probe("segment", params, dim=16, num_classes=3, seed=0, grid=TokenGrid(3, 2, 2, 1))
    tokens = 3 * torch.randn(1, 12, 16, generator=torch.Generator().manual_seed(0))
    weights = attention_weights(probe, tokens, (3, 2, 2, 1))
    np.testing.assert_allclose(weights.sum(axis=(3, 4, 5)), np.full((2, 1, 3), 1 / 3), rtol=1e-5)
    alone = attention_weights(probe_reading_the_whole(probe), tokens[:, 4:8], (1, 2, 2, 1))
    np.testing.assert_allclose(3 * weights[:, :, 1:2], alone, rtol=1e-4)


def probe_reading_the_whole(probe: Probe) -> Probe:
    probe.scales = (1,)
    return probe
