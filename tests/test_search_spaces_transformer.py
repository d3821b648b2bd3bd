"""The published blocks against torch's own encoder layer and attention, and their first weights."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn

from distributed.readout import readout
from search_spaces.attentive import AttentiveProbe
from search_spaces.probe import RandomStream
from search_spaces.transformer import Block, CrossAttentionBlock

DIM, HEADS = 24, 3


def test_a_block_is_an_encoder_layer_that_norms_first() -> None:
    block = Block(DIM, HEADS, 40, 0.0, RandomStream(0), layer=2)
    kind: dict[str, Any] = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
    layer = nn.TransformerEncoderLayer(DIM, HEADS, 40, **kind)
    names = {"self_attn.in_proj_": "attn.qkv.", "self_attn.out_proj": "attn.proj", "linear1": "mlp.fc1"}
    names |= {"linear2": "mlp.fc2"}
    state = block.state_dict()
    for name, weight in layer.state_dict().items():
        mine = name
        for plain, ours in names.items():
            mine = mine.replace(plain, ours)
        weight.copy_(state[mine])
    x = torch.randn(2, 7, DIM)
    torch.testing.assert_close(block(x), layer(x))


@pytest.mark.parametrize("projection", [True, False])
def test_the_cross_attention_is_attention_with_or_without_a_projection(projection: bool) -> None:
    block = CrossAttentionBlock(DIM, HEADS, 40, 0.0, RandomStream(0), projection=projection, layer=2)
    with torch.no_grad():
        for weight in block.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    assert ("xattn.proj.weight" in block.state_dict()) == projection
    plain = nn.MultiheadAttention(DIM, HEADS, batch_first=True)
    state = block.state_dict()
    with torch.no_grad():
        plain.in_proj_weight.copy_(torch.cat([state["xattn.q.weight"], state["xattn.kv.weight"]]))
        plain.in_proj_bias.copy_(torch.cat([state["xattn.q.bias"], state["xattn.kv.bias"]]))
        plain.out_proj.weight.copy_(state.get("xattn.proj.weight", torch.eye(DIM)))
        plain.out_proj.bias.copy_(state.get("xattn.proj.bias", torch.zeros(DIM)))
    query, tokens = torch.randn(2, DIM), torch.randn(4, 9, DIM)
    memory, queries = block.norm1(tokens), query.expand(4, -1, -1)
    x = queries + plain(queries, memory, memory)[0]
    expected = x + block.mlp(block.norm2(x))
    torch.testing.assert_close(block(query, readout(tokens, block.rows(query))), expected, rtol=1e-4, atol=1e-5)


def test_first_weights_shrink_with_the_layer() -> None:
    for layer in (1, 3):
        block = CrossAttentionBlock(192, HEADS, 192, 0.0, RandomStream(0), layer=layer)
        for part in (block.xattn.proj, block.mlp.fc2):
            assert isinstance(part, nn.Linear)
            assert part.weight.std().item() == pytest.approx(0.02 / math.sqrt(2 * layer), rel=0.1)
        assert block.mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_a_copy_between_the_halves_of_a_step_is_whole() -> None:
    """Queries hold a part of the graph for the head; neither a copy nor a head of its own may need it."""
    probe = AttentiveProbe(32, 3, heads=4, seed=0)
    probe.queries()
    copied = copy.deepcopy(probe)
    read = torch.randn(2, 4, 32, generator=torch.Generator().manual_seed(0))
    expected = probe.classify(read)
    assert torch.equal(copied.classify(read), expected) and torch.equal(probe.classify(read), expected)
