"""The attentive probe against the plain form with keys and values, and its ranges."""

import math
from typing import Any

import optuna
import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from distributed.readout import readout
from search_spaces.attentive import (
    AttentiveProbe,
    AttentiveSpace,
    build,
    load_published,
    published_params,
    published_state,
)

DIM, HEADS, CLASSES = 48, 4, 5
PREFIX = "pooler.cross_attention_block."


def heads_first(x: Tensor, heads: int) -> Tensor:
    return x.view(*x.shape[:-1], heads, -1).transpose(-3, -2)


def attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """[B, Q, D], [B, N, D], [B, N, D] -> [B, Q, D]: every head written out, without fused operations."""
    query, key, value = (heads_first(x, heads) for x in (query, key, value))
    weights = (query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])).softmax(dim=-1)
    return (weights @ value).transpose(-3, -2).flatten(-2)


def layer(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def norm(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5)


def mlp(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return layer(weights, f"{name}.fc2", F.gelu(layer(weights, f"{name}.fc1", x)))


def projected_logits(weights: dict[str, Tensor], tokens: Tensor, heads: int, depth: int) -> Tensor:
    """The classifier with keys and values of every token: tokens [B, N, D] -> logits [B, C]."""
    x = weights["pooler.query_tokens"].expand(len(tokens), -1, -1)
    memory = norm(weights, PREFIX + "norm1", tokens)
    key, value = layer(weights, PREFIX + "xattn.kv", memory).chunk(2, dim=-1)
    pooled = attention(layer(weights, PREFIX + "xattn.q", x), key, value, heads)
    x = x + layer(weights, PREFIX + "xattn.proj", pooled)
    x = x + mlp(weights, PREFIX + "mlp", norm(weights, PREFIX + "norm2", x))
    for index in range(depth - 1):
        name = f"pooler.blocks.{index}."
        query, key, value = layer(weights, name + "attn.qkv", norm(weights, name + "norm1", x)).chunk(3, dim=-1)
        x = x + layer(weights, name + "attn.proj", attention(query, key, value, heads))
        x = x + mlp(weights, name + "mlp", norm(weights, name + "norm2", x))
    return layer(weights, "linear", x.mean(dim=1))


def scattered(probe: AttentiveProbe, seed: int) -> AttentiveProbe:
    """The probe with weights far from their first values: sharp attention, biases and norms that matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in probe.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight.add_(noise * (1.0 if "query_tokens" in name else 0.15))
    return probe


@pytest.mark.parametrize(("queries", "depth"), [(1, 1), (3, 1), (1, 2), (2, 3)])
def test_logits_and_gradients_equal_the_projected_form(queries: int, depth: int) -> None:
    probe = scattered(AttentiveProbe(DIM, CLASSES, heads=HEADS, queries=queries, depth=depth, seed=1), 2)
    generator = torch.Generator().manual_seed(3)
    tokens = 2 * torch.randn(6, 70, DIM, generator=generator) + torch.randn(6, 70, 1, generator=generator)
    labels = torch.arange(6) % CLASSES

    logits = probe.classify(readout(tokens, probe.queries()))
    F.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
    # The plain form in double precision is the truth that float32 is held against.
    weights = {name: w.detach().double().requires_grad_() for name, w in probe.named_parameters()}
    truth = projected_logits(weights, tokens.double(), HEADS, depth)
    F.cross_entropy(truth, labels).backward()  # type: ignore[no-untyped-call]

    torch.testing.assert_close(logits.double(), truth, rtol=1e-5, atol=1e-5)
    for name, weight in probe.named_parameters():
        mine, theirs = weight.grad, weights[name].grad
        assert mine is not None and theirs is not None, name
        assert (mine.double() - theirs).norm() <= 1e-5 * theirs.norm() + 1e-9, name


def test_bias_of_the_keys_does_not_move() -> None:
    # It shifts all logits of a softmax alike; a rounding error here would be blown up by Adam.
    probe = scattered(AttentiveProbe(DIM, CLASSES, heads=HEADS, seed=1), 2)
    probe.classify(readout(torch.randn(3, 20, DIM), probe.queries())).sum().backward()  # type: ignore[no-untyped-call]
    grad = probe.get_parameter(PREFIX + "xattn.kv.bias").grad
    assert grad is not None
    assert not grad[:DIM].any() and grad[DIM:].all()


def test_names_and_shapes_are_the_published_ones() -> None:
    shapes = {
        "pooler.query_tokens": (1, 1, DIM),
        "norm1": (DIM,),
        "norm2": (DIM,),
        "xattn.q": (DIM, DIM),
        "xattn.kv": (2 * DIM, DIM),
        "xattn.proj": (DIM, DIM),
        "mlp.fc1": (4 * DIM, DIM),
        "mlp.fc2": (DIM, 4 * DIM),
        "linear": (CLASSES, DIM),
    }
    expected = {"pooler.query_tokens": shapes.pop("pooler.query_tokens")}
    for name, shape in shapes.items():
        prefix = "" if name == "linear" else PREFIX
        expected |= {f"{prefix}{name}.weight": shape, f"{prefix}{name}.bias": shape[:1]}
    probe = build(published_params(heads=HEADS), dim=DIM, num_classes=CLASSES, seed=0)
    assert {name: tuple(value.shape) for name, value in probe.state_dict().items()} == expected


@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_weights_load(prefix: str) -> None:
    trained = scattered(AttentiveProbe(DIM, CLASSES, heads=HEADS, mlp_ratio=2.0, depth=2, seed=1), 2)
    loaded = load_published({prefix + name: w for name, w in trained.state_dict().items()}, heads=HEADS)
    tokens = torch.randn(2, 9, DIM)
    expected = trained.classify(readout(tokens, trained.queries()))
    assert torch.equal(loaded.classify(readout(tokens, loaded.queries())), expected)


def test_weights_that_were_trained_without_the_projection_load_without_it() -> None:
    trained = scattered(AttentiveProbe(DIM, CLASSES, heads=HEADS, seed=1), 2)
    state = published_state(trained)
    assert {name.removeprefix("module.") for name in state} == set(trained.state_dict())
    loaded = load_published(state, heads=HEADS, projected=False)
    tokens = torch.randn(2, 9, DIM)
    weights = {name: w.detach() for name, w in trained.named_parameters()}
    weights |= {f"{PREFIX}xattn.proj.weight": torch.eye(DIM), f"{PREFIX}xattn.proj.bias": torch.zeros(DIM)}
    expected = projected_logits(weights, tokens, HEADS, 1)
    torch.testing.assert_close(loaded.classify(readout(tokens, loaded.queries())), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(expected, projected_logits(dict(trained.named_parameters()), tokens, HEADS, 1), atol=0.1)


def test_several_queries_have_no_published_form() -> None:
    with pytest.raises(ValueError, match="one query, this probe 2"):
        published_state(AttentiveProbe(DIM, CLASSES, heads=HEADS, queries=2, seed=1))


def test_published_weights_that_do_not_fit_are_refused() -> None:
    state = AttentiveProbe(DIM, CLASSES, heads=HEADS, seed=1).state_dict()
    state["pooler.extra"] = torch.zeros(3)
    with pytest.raises(RuntimeError, match=r"pooler\.extra"):
        load_published(state, heads=HEADS)


@pytest.mark.parametrize("missing", ["linear.weight", "pooler.query_tokens"])
def test_weights_of_something_else_are_refused_by_what_they_lack(missing: str) -> None:
    state = AttentiveProbe(DIM, CLASSES, heads=HEADS, seed=1).state_dict()
    del state[missing]
    with pytest.raises(RuntimeError, match=f"hold no {missing}, so they are not those of an attentive classifier"):
        load_published(state, heads=HEADS)


def test_weights_start_as_published() -> None:
    probe = AttentiveProbe(192, 8, heads=8, depth=3, seed=0)
    state = probe.state_dict()
    scale = {"cross_attention_block": 1, "blocks.0": 2, "blocks.1": 3}
    for name, weight in state.items():
        if name.startswith("linear"):
            assert weight.abs().max() <= 1 / math.sqrt(192)
        elif weight.ndim == 1:
            assert torch.equal(weight, torch.full_like(weight, float("norm" in name and "weight" in name))), name
        else:
            depth = next((k for block, k in scale.items() if block in name), 0)
            divisor = math.sqrt(2 * depth) if "proj" in name or "fc2" in name else 1.0
            assert weight.std().item() == pytest.approx(0.02 / divisor, rel=0.15), name


def test_seed_alone_decides_the_weights_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = AttentiveProbe(DIM, CLASSES, heads=HEADS, depth=2, seed=7).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = AttentiveProbe(DIM, CLASSES, heads=HEADS, depth=2, seed=7).state_dict()
    other = AttentiveProbe(DIM, CLASSES, heads=HEADS, depth=2, seed=8).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["linear.weight"], other["linear.weight"])


def test_suggested_parameters_build_a_probe() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = AttentiveSpace(heads=(3, 4, 5, 7))
    seen = set()
    for _ in range(20):
        trial = study.ask()
        params = space.suggest(trial, dim=DIM)
        assert params == trial.params
        seen.add(params["attentive.heads"])
        probe = build(params, dim=DIM, num_classes=CLASSES, seed=0)
        rows = probe.queries()
        assert rows.shape == (params["attentive.queries"] * params["attentive.heads"], DIM)
        assert probe.classify(readout(torch.randn(2, 6, DIM), rows)).shape == (2, CLASSES)
    assert seen == {3, 4}


def test_heads_that_never_divide_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"attentive\.heads = \[5, 7\].* 48"):
        AttentiveSpace(heads=(5, 7)).suggest(optuna.create_study().ask(), dim=DIM)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attentive.heads": 5}, r"attentive\.heads = 5 does not divide .* 48"),
        ({"attentive.queries": 0}, r"attentive\.queries = 0"),
        ({"attentive.depth": 1.5}, r"attentive\.depth = 1\.5"),
        ({"attentive.dropout": 1.0}, r"attentive\.dropout = 1\.0"),
        ({"attentive.mlp_ratio": 0.001}, r"attentive\.mlp_ratio = 0\.001"),
        ({"attentive.mlp_ratio": -1}, r"attentive\.mlp_ratio = -1"),
        ({"attentive.width": 3}, r"attentive\.width is unknown"),
    ],
)
def test_impossible_parameters_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(published_params(heads=4) | change, dim=DIM, num_classes=CLASSES, seed=0)


def test_missing_parameter_is_named() -> None:
    params = published_params(heads=4)
    del params["attentive.depth"]
    with pytest.raises(ValueError, match=r"attentive\.depth is missing"):
        build(params, dim=DIM, num_classes=CLASSES, seed=0)


def test_dropout_acts_in_training_only() -> None:
    probe = AttentiveProbe(DIM, CLASSES, heads=HEADS, dropout=0.3, seed=1)
    read = readout(torch.randn(2, 9, DIM), probe.queries())
    assert not torch.equal(probe.classify(read), probe.classify(read))
    probe.eval()
    assert torch.equal(probe.classify(read), probe.classify(read))


def test_ranges_check_themselves_inside_a_configuration() -> None:
    adapter = TypeAdapter(AttentiveSpace)
    assert adapter.validate_python({"heads": [4, 8]}) == AttentiveSpace(heads=(4, 8))
    for wrong, named in [
        ({"head": [4]}, "head"),
        ({"heads": []}, "attentive.heads"),
        ({"depth": [0, 1]}, "attentive.depth"),
        ({"queries": [2, 2]}, "attentive.queries"),
        ({"dropout": [0.4, 0.1]}, "attentive.dropout"),
    ]:
        with pytest.raises(ValidationError, match=named.replace(".", r"\.")):
            adapter.validate_python(wrong)
