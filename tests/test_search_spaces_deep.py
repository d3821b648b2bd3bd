"""The deep probe against V-JEPA 2's classifier written out with torch's own modules, and how it is trained."""

import math
from typing import Any

import numpy as np
import optuna
import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from distributed.attention import attention_weights
from distributed.prediction import pack_logits, predict_probabilities
from distributed.readout import prepare
from distributed.token_source import TensorTokens
from distributed.training import ProbeResult, ProbeSpec, TrainingConfig, train_pack
from search_spaces.attentive import AttentiveProbe
from search_spaces.deep import DeepProbe, DeepSpace, build, load_published, published_state
from search_spaces.family import build_probe
from search_spaces.probe import Probe

DIM, HEADS, CLASSES, N = 48, 4, 5, 21
CROSS = "pooler.cross_attention_block."


class Plain(nn.Module):
    """V-JEPA 2's attentive classifier: encoder layers over all tokens, a query that attends over them, an MLP."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        layer: dict[str, Any] = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(DIM, HEADS, 4 * DIM, **layer) for _ in range(depth - 1))
        self.query = nn.Parameter(torch.empty(1, 1, DIM))
        self.norm1, self.norm2 = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.attend = nn.MultiheadAttention(DIM, HEADS, batch_first=True)
        self.fc1, self.fc2 = nn.Linear(DIM, 4 * DIM), nn.Linear(4 * DIM, DIM)
        self.linear = nn.Linear(DIM, CLASSES)
        with torch.no_grad():  # it has no projection of the output
            self.attend.out_proj.weight.copy_(torch.eye(DIM))
            self.attend.out_proj.bias.zero_()
        self.attend.out_proj.requires_grad_(False)

    def forward(self, tokens: Tensor) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens)
        query, memory = self.query.expand(len(tokens), -1, -1), self.norm1(tokens)
        x = query + self.attend(query, memory, memory, need_weights=False)[0]
        x = x + self.fc2(F.gelu(self.fc1(self.norm2(x))))
        logits: Tensor = self.linear(x[:, 0])
        return logits

    def published(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """`values` by V-JEPA 2's names, with the query's projection apart from keys and values."""
        found = {}
        for name, value in values.items():
            kind = name.split(".")[-1]
            if name.startswith("blocks."):
                for plain, theirs in (
                    ("self_attn.in_proj_", "attn.qkv."),
                    ("self_attn.out_proj", "attn.proj"),
                    ("linear1", "mlp.fc1"),
                    ("linear2", "mlp.fc2"),
                ):
                    name = name.replace(plain, theirs)
                found["pooler." + name] = value
            elif name.startswith("attend.in_proj_"):
                kind = kind.removeprefix("in_proj_")
                found[f"{CROSS}xattn.q.{kind}"], found[f"{CROSS}xattn.kv.{kind}"] = value[:DIM], value[DIM:]
            elif name == "query":
                found["pooler.query_tokens"] = value
            elif name.startswith("fc"):
                found[f"{CROSS}mlp.{name}"] = value
            elif not name.startswith("attend."):
                found[name if name.startswith("linear.") else CROSS + name] = value
        return found


def example(depth: int) -> tuple[Plain, DeepProbe]:
    """The plain classifier with weights that all matter, and the probe that has loaded them."""
    plain, generator = Plain(depth), torch.Generator().manual_seed(depth)
    with torch.no_grad():
        for name, weight in plain.named_parameters():
            if weight.requires_grad:
                scale = 1.0 if name == "query" else 0.15
                base = 1.0 if "norm" in name and name.endswith("weight") else 0.0
                weight.copy_(base + scale * torch.randn(weight.shape, generator=generator))
    state = plain.published({name: w.detach() for name, w in plain.named_parameters()})
    return plain, load_published({"module." + name: value for name, value in state.items()}, heads=HEADS)


def tokens_of(videos: int) -> Tensor:
    generator = torch.Generator().manual_seed(9)
    return 2 * torch.randn(videos, N, DIM, generator=generator) + torch.randn(videos, N, 1, generator=generator)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_logits_and_gradients_equal_the_plain_classifier(depth: int) -> None:
    plain, probe = example(depth)
    tokens, labels = tokens_of(6), torch.arange(6) % CLASSES
    (logits,) = pack_logits([probe], tokens)
    F.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
    # In double precision it is the truth that float32 is held against.
    plain = plain.double().train()
    truth = plain(tokens.double())
    F.cross_entropy(truth, labels).backward()  # type: ignore[no-untyped-call]

    torch.testing.assert_close(logits.double(), truth, rtol=1e-5, atol=1e-5)
    grads = {name: w.grad for name, w in plain.named_parameters() if w.grad is not None}
    theirs = plain.published(grads)
    mine = dict(probe.named_parameters())
    assert theirs.keys() == mine.keys()
    for name, weight in mine.items():
        assert weight.grad is not None
        assert (weight.grad.double() - theirs[name]).norm() <= 1e-5 * theirs[name].norm() + 1e-8, name


@pytest.mark.parametrize("depth", [1, 3])
def test_export_has_the_published_names_and_loads_back(depth: int) -> None:
    plain, probe = example(depth)
    exported = published_state(probe)
    expected = plain.published(dict(plain.named_parameters()))
    assert {name: value.shape for name, value in exported.items()} == {
        "module." + name: value.shape for name, value in expected.items()
    }
    again = load_published(exported, heads=HEADS)
    assert torch.equal(pack_logits([again], tokens_of(2))[0], pack_logits([probe], tokens_of(2))[0])
    with pytest.raises(RuntimeError, match="proj"):
        load_published(exported | {f"module.{CROSS}xattn.proj.weight": torch.eye(DIM)}, heads=HEADS)


def test_weights_start_as_published() -> None:
    probe = DeepProbe(192, 8, heads=8, depth=4, seed=0)
    layer = {"blocks.0": 1, "blocks.1": 2, "blocks.2": 3}
    for name, weight in probe.state_dict().items():
        if name.startswith("linear"):
            assert weight.abs().max() <= 1 / math.sqrt(192)
        elif weight.ndim == 1:
            assert torch.equal(weight, torch.full_like(weight, float("norm" in name and "weight" in name))), name
        else:
            number = next((k for block, k in layer.items() if block in name), 3)  # the last is that of the query's MLP
            divisor = math.sqrt(2 * number) if "proj" in name or "fc2" in name else 1.0
            assert weight.std().item() == pytest.approx(0.02 / divisor, rel=0.15), name


def spec(trial: int, family: str = "deep", **change: Any) -> ProbeSpec:
    params: dict[str, Any] = {"deep.depth": 2, "deep.heads": 4, "deep.mlp_ratio": 1.0, "deep.dropout": 0.1}
    if family == "linear":
        params = {"linear.dropout": 0.0}
    return ProbeSpec(trial, family, {"batch_size": 8, **params, **change}, seed=trial)


def trained(specs: list[ProbeSpec], **settings: Any) -> tuple[list[ProbeResult], TensorTokens]:
    generator = torch.Generator().manual_seed(0)
    labels = np.arange(60) % 3
    values = torch.randn(60, 8, 16, generator=generator)
    values[:, :2] += 1.5 * torch.randn(3, 16, generator=generator)[torch.from_numpy(labels)][:, None]
    source = TensorTokens(values.to(torch.float16))
    config = TrainingConfig(epochs=6, **settings)
    rows = np.arange(60)
    return train_pack(source, labels, rows[:40], rows[40:], specs, config, num_classes=3, seed=1), source


def test_it_trains_apart_from_the_others_of_its_pack_and_learns() -> None:
    together, source = trained([spec(0), spec(1, "linear"), spec(2, lr=3e-3)])
    assert [result.spec.trial for result in together] == [0, 1, 2]
    for result in together:
        (alone,), _ = trained([result.spec])
        for name, weight in result.state_dict.items():
            assert torch.equal(weight, alone.state_dict[name]), name
        # Halving thins what is trained together: a probe by itself is never pruned.
        assert result.state == "complete" and len(result.curves) == 6
    assert together[2].score is not None and together[2].score > 0.8

    probes: list[Probe] = []
    for result in together:
        probes.append(build_probe(result.spec.family, result.spec.params, dim=16, num_classes=3, seed=0))
        probes[-1].load_state_dict(result.state_dict)
    rows = np.arange(40, 60)
    said = predict_probabilities(source, rows, probes, device="cpu", batch=7)
    for probe, mine in zip(probes, said, strict=True):
        (logits,) = pack_logits([probe.eval()], source.gather(rows, None))
        np.testing.assert_allclose(mine, logits.softmax(dim=-1).detach().numpy(), atol=1e-6)


def test_tokens_that_are_standardised_already_cannot_be_mixed() -> None:
    with pytest.raises(AssertionError, match="mixed"):
        pack_logits([DeepProbe(DIM, CLASSES, heads=HEADS, seed=0)], prepare(tokens_of(2)))


def test_where_it_looks_is_told_of_the_mixed_tokens() -> None:
    _, probe = example(2)
    tokens = tokens_of(1)
    heat = attention_weights(probe, tokens, (1, 3, 7, 1)).reshape(HEADS, N)
    np.testing.assert_allclose(heat.sum(axis=1), 1, rtol=1e-5)
    mixed = probe.mix(tokens)
    flat = AttentiveProbe(DIM, CLASSES, heads=HEADS, seed=0)
    parts = {name: value for name, value in probe.state_dict().items() if "blocks." not in name}
    flat.load_state_dict(parts, strict=False)
    np.testing.assert_allclose(heat, attention_weights(flat, mixed, (1, 3, 7, 1)).reshape(HEADS, N), rtol=1e-4)


def test_suggestions_build_and_impossible_ones_are_named() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(8):
        params = DeepSpace(heads=(3, 4, 5)).suggest(study.ask(), dim=DIM)
        assert params["deep.heads"] in (3, 4)
        assert build(params, dim=DIM, num_classes=CLASSES, seed=0).queries().shape == (params["deep.heads"], DIM)
    with pytest.raises(ValueError, match=r"deep\.heads = \[5\].* 48"):
        DeepSpace(heads=(5,)).suggest(study.ask(), dim=DIM)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"deep.heads": 5}, r"deep\.heads = 5 does not divide"),
        ({"deep.mlp_ratio": 0.001}, r"deep\.mlp_ratio"),
        ({"deep.depth": 0}, r"deep\.depth"),
        ({"deep.queries": 2}, r"deep\.queries is unknown"),
    ]
    for change, message in wrong:
        with pytest.raises(ValueError, match=message):
            build(params | change, dim=DIM, num_classes=CLASSES, seed=0)
    with pytest.raises(ValidationError, match=r"deep\.depth"):
        TypeAdapter(DeepSpace).validate_python({"depth": [0]})
