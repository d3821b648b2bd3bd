"""The segment probe: queries that see one segment each time, and a head that knows which came when."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from distributed.errors import UserError
from distributed.prediction import pack_logits
from distributed.readout import prepare, readout
from distributed.token_source import TensorTokens
from distributed.training import ProbeResult, ProbeSpec, TrainingConfig, train_pack
from search_spaces.linear import LinearProbe
from search_spaces.probe import TokenGrid
from search_spaces.segment import SegmentProbe, SegmentSpace, build

DIM, CLASSES, GRID = 24, 3, TokenGrid(4, 2, 1, 3)
PARAMS = {f"segment.{k}": v for k, v in {"queries": 2, "width": 8, "heads": 2, "layers": 2, "dropout": 0.1}.items()}


def example() -> SegmentProbe:
    probe = build(PARAMS, dim=DIM, num_classes=CLASSES, seed=0, grid=GRID).eval()
    with torch.no_grad():
        for weight in probe.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())))
    return probe


def test_every_segment_is_read_by_itself() -> None:
    probe, tokens = example(), torch.randn(2, 24, DIM)
    x = F.layer_norm(tokens, (DIM,)).view(2, 4, 6, DIM)
    weights = torch.einsum("rd,bsnd->bsrn", probe.query_tokens, x).softmax(dim=-1)
    expected = probe.classify(torch.einsum("bsrn,bsnd->bsrd", weights, x).flatten(1, 2))
    # In a pack with a probe that reads the whole, and in which the other sees nothing of the segments.
    whole = LinearProbe(DIM, CLASSES, dropout=0.0, seed=1)
    mine, other = pack_logits([probe, whole], prepare(tokens))
    torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(other, whole.classify(readout(tokens, whole.queries())))


def test_the_order_of_segments_matters_and_that_of_tokens_within_one_does_not() -> None:
    probe, tokens = example(), torch.randn(2, 4, 6, DIM)
    (logits,) = pack_logits([probe], prepare(tokens.flatten(1, 2)))
    (within,) = pack_logits([probe], prepare(tokens.flip(2).flatten(1, 2)))
    (reversed_,) = pack_logits([probe], prepare(tokens.flip(1).flatten(1, 2)))
    torch.testing.assert_close(within, logits, rtol=1e-4, atol=1e-5)
    assert (reversed_ - logits).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("change", "grid", "message"),
    [
        ({"segment.heads": 3}, GRID, "segment.heads = 3 does not divide segment.width = 8"),
        ({"segment.layers": 0}, GRID, "segment.layers = 0"),
        ({}, None, "must know how tokens lie"),
    ],
)
def test_what_cannot_be_built_is_named(change: dict[str, Any], grid: TokenGrid | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(PARAMS | change, dim=DIM, num_classes=CLASSES, seed=0, grid=grid)


def test_heads_must_divide_every_width() -> None:
    with pytest.raises(ValueError, match=r"segment\.heads = \[4\]: 4 does not divide"):
        SegmentSpace(width=(64, 90))


def test_tokens_that_cannot_be_cut_are_refused() -> None:
    with pytest.raises(ValueError, match="23 tokens of a video cannot be cut into 4 equal parts"):
        prepare(torch.randn(2, 23, DIM)).cut(4)
    # A window has the tokens of one segment, which four parts would divide into something else.
    with pytest.raises(UserError, match="reads a video in 4 parts of its 24 tokens, and this one has 8"):
        pack_logits([example()], prepare(torch.randn(2, 8, DIM)))


def test_a_pack_trains_it_as_alone_and_its_weights_load_again() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = TensorTokens(torch.randn(20, 24, DIM, generator=generator).to(torch.float16), grid=GRID)
    labels, nobody = np.arange(20) % CLASSES, np.empty(0, np.int64)
    specs = [
        ProbeSpec(0, "segment", {**PARAMS, "batch_size": 4, "lr": 3e-3}, seed=5),
        ProbeSpec(1, "linear", {"linear.dropout": 0.1, "batch_size": 4}, seed=6),
    ]

    def train(some: list[ProbeSpec]) -> list[ProbeResult]:
        config = TrainingConfig(epochs=4, rungs=())
        return train_pack(tokens, labels, np.arange(20), nobody, some, config, num_classes=CLASSES, seed=1)

    together, _ = train(specs)
    (alone,) = train(specs[:1])
    assert together.curves[-1]["train_loss"] < together.curves[0]["train_loss"]
    for name, weight in together.state_dict.items():
        torch.testing.assert_close(weight, alone.state_dict[name], rtol=0, atol=1e-5, msg=name)
    build(PARAMS, dim=DIM, num_classes=CLASSES, seed=0, grid=GRID).load_state_dict(together.state_dict)
