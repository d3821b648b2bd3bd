"""A pack trains every probe as if it were alone; halving takes nothing from the others."""

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from distributed.training import ProbeSpec, TensorTokens, TrainingConfig, train_pack
from search_spaces.family import build_probe
from tests.small_pack import (
    CLASSES,
    DIM,
    LABELS,
    NOBODY,
    TRAIN,
    VALIDATION,
    WHOLE,
    attentive_spec,
    linear_spec,
    mixed_pack,
    run,
    tokens,
)


def test_pack_trains_every_probe_as_alone() -> None:
    together = run(mixed_pack())
    for spec, packed in zip(mixed_pack(), together, strict=True):
        (alone,) = run([spec])
        assert packed.spec is not alone.spec and packed.spec == spec
        assert packed.state_dict.keys() == alone.state_dict.keys()
        for name, weight in packed.state_dict.items():
            torch.testing.assert_close(weight, alone.state_dict[name], rtol=0, atol=1e-5, msg=name)
        for mine, theirs in zip(packed.curves, alone.curves, strict=True):
            assert mine == pytest.approx(theirs, abs=1e-4)


def test_pack_trains_on_augmented_passes_every_probe_as_alone() -> None:
    """The draw of a pass follows from seed, epoch and video, whoever else reads the tokens."""
    values = tokens(views=4)._tokens
    source = TensorTokens(values, seed=4, passes=3)
    settings: dict[str, Any] = {"num_classes": CLASSES, "seed": 9}
    together = train_pack(source, LABELS, TRAIN, VALIDATION, mixed_pack(), WHOLE, **settings)
    clean = run([mixed_pack()[1]])[0]
    for number in (1, 2):
        fresh = TensorTokens(values, seed=4, passes=3)
        (alone,) = train_pack(fresh, LABELS, TRAIN, VALIDATION, [mixed_pack()[number]], WHOLE, **settings)
        for name, weight in together[number].state_dict.items():
            torch.testing.assert_close(weight, alone.state_dict[name], rtol=0, atol=1e-5, msg=name)
    assert not torch.allclose(together[1].state_dict["linear.weight"], clean.state_dict["linear.weight"])


def test_order_in_the_pack_does_not_matter() -> None:
    forward, backward = run(mixed_pack()), run(mixed_pack()[::-1])
    for one, other in zip(forward, backward[::-1], strict=True):
        for name, weight in one.state_dict.items():
            torch.testing.assert_close(weight, other.state_dict[name], rtol=0, atol=1e-5)


def test_same_seed_same_bits_and_global_generator_is_left_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = run(mixed_pack())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = run(mixed_pack()), run(mixed_pack(), seed=10)
    for one, two in zip(first, again, strict=True):
        assert one.curves == two.curves
        assert all(torch.equal(one.state_dict[name], two.state_dict[name]) for name in one.state_dict)
    assert first[0].curves != other[0].curves


def plain_linear_training(spec: ProbeSpec, epochs: int, size: int, smoothing: float) -> dict[str, Tensor]:
    """The same training by a loop that knows nothing of packs and queries."""
    probe = build_probe("linear", spec.params, dim=DIM, num_classes=CLASSES, seed=spec.seed)
    weights = {name: nn.Parameter(w.detach().clone()) for name, w in probe.named_parameters()}
    groups = [{"params": [weights["linear.weight"]]}]
    groups.append({"params": [w for name, w in weights.items() if w.ndim == 1]})
    adamw = torch.optim.AdamW(groups)
    steps, step, source = epochs * math.ceil(len(TRAIN) / size), 0, tokens()
    for epoch in range(1, epochs + 1):
        order = np.random.default_rng([9, epoch]).permutation(TRAIN)
        for batch in (order[i : i + size] for i in range(0, len(order), size)):
            for group in adamw.param_groups:
                group["lr"] = 0.02 * (1 + math.cos(math.pi * (step + 2) / steps)) / 2
                group["weight_decay"] = 0.0
            cosine = (1 + math.cos(math.pi * (step + 1) / steps)) / 2
            adamw.param_groups[0]["weight_decay"] = 1e-6 + (0.05 - 1e-6) * cosine
            x = F.layer_norm(source.gather(batch, epoch).float(), (DIM,)).mean(dim=1)
            x = F.layer_norm(x, (DIM,), weights["norm.weight"], weights["norm.bias"])
            logits = x @ weights["linear.weight"].T + weights["linear.bias"]
            loss = F.cross_entropy(logits, torch.from_numpy(LABELS[batch]), label_smoothing=smoothing)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(weights.values(), 1.0)
            adamw.step()
            adamw.zero_grad()
            step += 1
    return {name: weight.detach() for name, weight in weights.items()}


@pytest.mark.parametrize(("size", "smoothing"), [(8, 0.0), (32, 0.1), (128, 0.0)])
def test_training_equals_a_plain_loop_with_a_partial_last_batch(size: int, smoothing: float) -> None:
    assert len(TRAIN) % size
    spec = linear_spec(0, lr=0.02, weight_decay=0.05, batch_size=size, label_smoothing=smoothing)
    expected = plain_linear_training(spec, WHOLE.epochs, size, smoothing)
    # In company of a smaller batch size, which decides about neither reads nor steps of this one.
    result, _ = run([spec, linear_spec(1, batch_size=4)])
    assert result.state_dict.keys() == expected.keys()
    for name, weight in result.state_dict.items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-5, atol=1e-5, msg=name)


def test_probes_learn_what_the_tokens_hold() -> None:
    (result,) = run([attentive_spec(0, lr=3e-3)], TrainingConfig(epochs=8))
    assert result.state == "complete" and result.epoch == 8
    assert result.score is not None and result.score > 0.8
    assert result.score == result.curves[-1]["validation_uar"]
    assert result.curves[-1]["train_loss"] < 0.5 * result.curves[0]["train_loss"]
    assert [row["epoch"] for row in result.curves] == list(range(1, 9))
    assert result.curves[-1]["lr"] < 1e-5 < result.curves[0]["lr"]
    assert result.num_parameters == sum(weight.numel() for weight in result.state_dict.values())
    assert result.seconds > 0


def test_halving_stops_the_weaker_half_at_each_rung() -> None:
    rates = [1e-6, 1e-2, 3e-6, 2e-6]
    seen: dict[int, set[int]] = {}
    results = run(
        [linear_spec(trial, lr=lr) for trial, lr in enumerate(rates)],
        TrainingConfig(epochs=8),
        on_epoch=lambda epoch, rows: seen.update({epoch: set(rows)}),
    )
    everyone = {0, 1, 2, 3}
    assert [seen[epoch] for epoch in (1, 2)] == [everyone] * 2
    assert [len(seen[epoch]) for epoch in range(3, 9)] == [2, 2, 1, 1, 1, 1]
    assert results[1].state == "complete" and results[1].epoch == 8 and results[1].state_dict
    for rung in (2, 4):
        left = [result for result in results if result.epoch > rung]
        for result in results:
            if result.state == "pruned" and result.epoch == rung:
                assert result.score == result.curves[-1]["validation_uar"] and len(result.curves) == rung
                assert result.reason == f"among the weaker at epoch {rung}" and not result.state_dict
                rivals = [other.curves[rung - 1]["validation_uar"] for other in left]
                assert result.score is not None and all(result.score <= rival for rival in rivals)
    assert sorted(result.epoch for result in results) == [2, 2, 4, 8]


def test_without_validation_nothing_is_scored_or_pruned() -> None:
    results = run([linear_spec(trial) for trial in range(4)], TrainingConfig(epochs=4), NOBODY)
    for result in results:
        assert result.state == "complete" and result.epoch == 4 and result.score is None
        assert all(row["validation_uar"] is None for row in result.curves)


def test_score_counts_every_validation_video_once() -> None:
    (result,) = run([linear_spec(0, lr=1e-2)])
    row = result.curves[-1]
    hits = row["validation_war"] * len(VALIDATION)
    assert hits == pytest.approx(round(hits)) and 0 < hits <= len(VALIDATION)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, r"training\.epochs = 0"),
        ({"rungs": [0.5, 1.0]}, r"training\.rungs"),
        ({"keep": 0}, r"training\.keep"),
        ({"clip_grad": 0}, r"training\.clip_grad"),
        ({"final_weight_decay": -1}, r"training\.final_weight_decay"),
        ({"patience": -1}, r"training\.patience = -1"),
        ({"patience": 20}, r"training\.patience = 20 never ends"),
        ({"epoch": 3}, "epoch"),
    ],
)
def test_configuration_checks_itself(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(TrainingConfig).validate_python(settings)


def test_training_needs_torch_and_numpy_alone() -> None:
    code = """
import sys
for name in ("optuna", "pydantic", "pyarrow", "ray", "mlflow", "sklearn", "scipy", "cv2", "decord"):
    sys.modules[name] = None
import numpy as np, torch
from distributed.training import ProbeSpec, TensorTokens, TrainingConfig, train_pack
from search_spaces.attentive import published_params
labels = np.arange(6) % 2
spec = ProbeSpec(0, "attentive", published_params(heads=2), seed=0)
tokens = TensorTokens(torch.randn(6, 3, 8))
result, = train_pack(
    tokens, labels, np.arange(4), np.arange(4, 6), [spec], TrainingConfig(2), num_classes=2, seed=0
)
print(result.state)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ended.stdout == "complete\n", ended.stderr
