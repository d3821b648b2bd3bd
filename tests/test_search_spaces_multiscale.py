"""The multiscale probe: one set of queries at the scales of video, segment and moment."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from distributed.prediction import pack_logits
from distributed.readout import prepare
from search_spaces.multiscale import MultiscaleProbe, build
from search_spaces.probe import TokenGrid

DIM, CLASSES = 16, 3
PARAMS = {"multiscale.queries": 2, "multiscale.width": 8, "multiscale.dropout": 0.2}


def probe_on(grid: TokenGrid) -> MultiscaleProbe:
    return build(PARAMS, dim=DIM, num_classes=CLASSES, seed=0, grid=grid).eval()


def test_logits_are_those_of_means_and_maxima_at_every_scale() -> None:
    probe, tokens = probe_on(TokenGrid(2, 3, 2, 1)), torch.randn(4, 12, DIM)
    assert probe.scales == (1, 2, 6)

    def read(parts: int) -> Tensor:
        x = F.layer_norm(tokens, (DIM,)).view(4, parts, -1, DIM)
        weights = torch.einsum("rd,bpnd->bprn", probe.query_tokens, x).softmax(dim=-1)
        return torch.einsum("bprn,bpnd->bprd", weights, x)

    seen = [read(1)[:, 0], read(2).mean(1), read(2).amax(1), read(6).mean(1), read(6).amax(1)]
    x = F.layer_norm(torch.stack(seen, dim=1), (DIM,)).flatten(1)
    expected = probe.linear(F.gelu(probe.hidden(x)))
    (mine,) = pack_logits([probe], prepare(tokens))
    torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("grid", "scales"),
    [(TokenGrid(8, 8, 1, 1), (1, 8, 64)), (TokenGrid(8, 1, 2, 2), (1, 8)), (TokenGrid(1, 1, 1, 1), (1,))],
)
def test_scales_that_are_the_same_are_read_once(grid: TokenGrid, scales: tuple[int, ...]) -> None:
    probe, tokens = probe_on(grid), torch.randn(2, grid.segments * grid.time * grid.height * grid.width, DIM)
    assert probe.scales == scales
    (logits,) = pack_logits([probe], prepare(tokens))
    assert logits.shape == (2, CLASSES)


def test_it_must_know_how_tokens_lie() -> None:
    with pytest.raises(ValueError, match="must know how tokens lie"):
        build(PARAMS, dim=DIM, num_classes=CLASSES, seed=0)
