"""What every family that is fitted in one go must do in a pack, shared by the tests of each."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from distributed.prediction import predict_probabilities
from distributed.token_source import TensorTokens
from distributed.training import ProbeResult, ProbeSpec, TrainingConfig, train_pack
from search_spaces.probe import Probe

ROWS = np.arange(70)


def train(specs: list[ProbeSpec]) -> tuple[list[ProbeResult], TensorTokens]:
    generator = torch.Generator().manual_seed(0)
    labels = np.arange(70) % 3
    values = torch.randn(70, 2, 6, 16, generator=generator)
    values += 0.7 * torch.randn(3, 16, generator=generator)[torch.from_numpy(labels)][:, None, None]
    tokens = TensorTokens(values)
    config = TrainingConfig(epochs=4, rungs=(0.25, 0.5))
    return train_pack(tokens, labels, ROWS[:50], ROWS[50:], specs, config, num_classes=3, seed=1), tokens


def check_complete_after_one_epoch(family: str, params: dict[str, Any], build: Callable[..., Probe]) -> None:
    """It ends complete after one epoch, the same for every seed and in any company, and knows unseen videos."""
    linear = ProbeSpec(1, "linear", {"linear.dropout": 0.0, "batch_size": 8}, seed=3)
    (mine, other), tokens = train([ProbeSpec(0, family, params, seed=5), linear])
    assert mine.state == "complete" and mine.epoch == mine.best_epoch == 1 and len(mine.curves) == 1
    assert mine.score is not None and mine.score > 0.9 and mine.score == mine.curves[0]["validation_uar"]
    assert mine.curves[0]["lr"] is None and np.isfinite(mine.curves[0]["train_loss"])
    assert other.epoch == 4, "halving must count only those still in training"
    ((alone,), _) = train([ProbeSpec(9, family, params, seed=6)])
    assert all(torch.equal(weight, alone.state_dict[name]) for name, weight in mine.state_dict.items())
    probe = build(params, dim=16, num_classes=3, seed=0)
    probe.load_state_dict(mine.state_dict)
    said = predict_probabilities(tokens, ROWS[50:], [probe], device="cpu")[0]
    assert (said.argmax(axis=1) == ROWS[50:] % 3).mean() > 0.9
