"""Packs with every setting of the optimisation on: each probe trains as if it were alone."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from distributed import prediction
from distributed.prediction import predict_probabilities
from distributed.readout import readout
from distributed.training import ProbeSpec, TrainingConfig
from search_spaces.family import build_probe
from tests.small_pack import (
    CLASSES,
    DIM,
    LABELS,
    NOBODY,
    TRAIN,
    VALIDATION,
    attentive_spec,
    linear_spec,
    run,
    tokens,
)


def every_setting() -> list[ProbeSpec]:
    """Every setting of the optimisation on somewhere, in many combinations, and probes that take no steps."""
    sgd: dict[str, Any] = {"optimizer": "sgd", "sgd_lr": 0.05, "momentum": 0.8}
    mlp = {"mlp.width": 24, "mlp.layers": 1, "mlp.dropout": 0.2}
    return [
        linear_spec(0, **sgd, mixup=0.4, class_weights="balanced", warmup=0.2),
        attentive_spec(1, mixup=1.0, averaging=0.95, label_smoothing=0.1, **{"attentive.dropout": 0.1}),
        ProbeSpec(2, "mlp", {**mlp, **sgd, "batch_size": 16, "averaging": 0.9, "clip_grad": 0.05}, seed=2),
        attentive_spec(3, batch_size=16, clip_grad=0.3, class_weights="balanced", label_smoothing=0.2),
        ProbeSpec(4, "ridge", {"ridge.l2": 0.1, "ridge.class_weights": "balanced"}, seed=4),
        attentive_spec(5, **sgd, mixup=0.2, class_weights="balanced", averaging=0.99),
        ProbeSpec(6, "logistic", {"logistic.l2": 0.1, "logistic.class_weights": "none"}, seed=6),
        linear_spec(7, lr=1e-2, epochs=3),
    ]


@pytest.mark.parametrize("patience", [0, 2])
def test_pack_trains_every_probe_as_alone_with_every_setting_on(patience: int) -> None:
    """54 steps of batches of 8."""
    config = TrainingConfig(epochs=6, rungs=(), patience=patience)
    together = run(every_setting(), config)
    plain = run([linear_spec(0), attentive_spec(1)], config)
    for spec, packed in zip(every_setting(), together, strict=True):
        (alone,) = run([spec], config)
        assert packed.state == alone.state == "complete"
        assert (packed.epoch, packed.best_epoch) == (alone.epoch, alone.best_epoch)
        for name, weight in packed.state_dict.items():
            torch.testing.assert_close(weight, alone.state_dict[name], rtol=0, atol=1e-5, msg=f"{spec.trial} {name}")
        for mine, theirs in zip(packed.curves, alone.curves, strict=True):
            assert mine == pytest.approx(theirs, abs=1e-4)
    # The settings do something: without them the same seeds give other weights.
    for one, other in zip(together, plain, strict=False):
        assert not torch.allclose(one.state_dict["linear.weight"], other.state_dict["linear.weight"], atol=1e-3)
    if patience:
        assert any(result.epoch < 6 and result.curves[-1]["epoch"] == result.epoch for result in together[:4])


def test_with_patience_a_probe_counts_with_its_best_epoch_and_is_refitted_for_as_long() -> None:
    config = TrainingConfig(epochs=12, rungs=(), patience=2)
    # One learns and then over-learns, one never moves, one would go on.
    specs = [linear_spec(0, lr=1e-1), linear_spec(1, lr=1e-9), linear_spec(2, lr=1e-3, averaging=0.9)]
    whole = run(specs, TrainingConfig(epochs=12, rungs=()))
    for result, full in zip(run(specs, config), whole, strict=True):
        assert result.state == "complete", "one that patience ends is no pruned one"
        uars = [row["validation_uar"] for row in result.curves]
        assert result.best_epoch is not None
        assert result.score == max(uars) and result.best_epoch == uars.index(max(uars)) + 1
        assert result.epoch == len(result.curves) == min(12, result.best_epoch + 2)
        assert uars == [row["validation_uar"] for row in full.curves[: result.epoch]]
        # The same number of epochs on the same schedule gives the same weights, and there is nothing to score by.
        again = ProbeSpec(result.spec.trial, "linear", result.spec.params, result.spec.seed, result.best_epoch)
        (refit,) = run([again], config, NOBODY)
        assert refit.epoch == refit.best_epoch == result.best_epoch and refit.score is None
        for name, weight in result.state_dict.items():
            torch.testing.assert_close(weight, refit.state_dict[name], rtol=0, atol=1e-5)
    assert min(result.epoch for result in run(specs, config)) < 12


def test_scored_weights_are_the_averages() -> None:
    (averaged,) = run([linear_spec(0, lr=1e-2, averaging=0.9)])
    (plain,) = run([linear_spec(0, lr=1e-2)])
    assert [row["train_loss"] for row in averaged.curves] == [row["train_loss"] for row in plain.curves]
    assert averaged.curves[-1]["validation_loss"] != plain.curves[-1]["validation_loss"]
    probe = build_probe("linear", averaged.spec.params, dim=DIM, num_classes=CLASSES, seed=0)
    probe.load_state_dict(averaged.state_dict)
    said = predict_probabilities(tokens(), VALIDATION, [probe], device="cpu")[0]
    hit = said[np.arange(len(VALIDATION)), LABELS[VALIDATION]]
    assert -np.log(hit).mean() == pytest.approx(averaged.curves[-1]["validation_loss"], abs=1e-6)


def test_halving_frees_its_share_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Query rows of the readouts of every step: 4 probes, then 2 after epoch 2, then 1 after epoch 4."""
    rows: list[int] = []

    def counted(tokens: Any, queries: Tensor) -> Tensor:
        if queries.requires_grad and torch.is_grad_enabled():
            rows.append(len(queries))
        return readout(tokens, queries)

    monkeypatch.setattr(prediction, "readout", counted)
    results = run([attentive_spec(trial, lr=1e-3 / (trial + 1)) for trial in range(4)], TrainingConfig(epochs=8))
    steps = math.ceil(len(TRAIN) / 8)
    assert rows == [16] * 2 * steps + [8] * 2 * steps + [4] * 4 * steps
    full = [result for result in results if result.epoch == 8]
    assert len(full) == 1 and all(result.seconds < full[0].seconds for result in results if result is not full[0])
