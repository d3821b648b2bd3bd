"""A small problem that packs of probes are trained on, shared by the tests of training."""

from typing import Any

import numpy as np
import torch

from distributed.token_source import Rows, TensorTokens
from distributed.training import ProbeResult, ProbeSpec, TrainingConfig, train_pack
from search_spaces.attentive import published_params

VIDEOS, N, DIM, CLASSES = 90, 12, 32, 4
TRAIN, VALIDATION = np.arange(0, 70), np.arange(70, VIDEOS)
NOBODY = np.array([], np.int64)
LABELS: Rows = np.arange(VIDEOS) * 7 % CLASSES
WHOLE = TrainingConfig(epochs=3, rungs=())


def tokens(views: int = 2) -> TensorTokens:
    """Noise in which a few tokens of every video carry its class."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(VIDEOS, views, N, DIM, generator=generator)
    signs = torch.randn(CLASSES, DIM, generator=generator)
    values[:, :, :3] += 1.2 * signs[torch.from_numpy(LABELS)][:, None, None]
    return TensorTokens(values.to(torch.float16), seed=4)


def linear_spec(trial: int, *, epochs: int | None = None, **params: Any) -> ProbeSpec:
    return ProbeSpec(trial, "linear", {"linear.dropout": 0.0, "batch_size": 8, **params}, trial, epochs)


def attentive_spec(trial: int, **params: Any) -> ProbeSpec:
    own = published_params(heads=4) | {"attentive.mlp_ratio": 1.0} | params
    return ProbeSpec(trial, "attentive", {"batch_size": 8, **own}, seed=trial)


def run(
    specs: list[ProbeSpec], config: TrainingConfig = WHOLE, validation: Rows = VALIDATION, **more: Any
) -> list[ProbeResult]:
    settings: dict[str, Any] = {"num_classes": CLASSES, "seed": 9, **more}
    return train_pack(tokens(), LABELS, TRAIN, validation, specs, config, **settings)


def mixed_pack() -> list[ProbeSpec]:
    """Three families, three batch sizes of which none divides the number of videos, dropout, smoothing."""
    mlp = {"mlp.width": 24, "mlp.layers": 2, "mlp.dropout": 0.3, "batch_size": 16, "label_smoothing": 0.1}
    wide = {"attentive.queries": 2, "attentive.depth": 2, "attentive.dropout": 0.2, "batch_size": 4}
    return [
        linear_spec(0, lr=1e-2, warmup=0.2),
        attentive_spec(1, **{"attentive.heads": 8}),
        ProbeSpec(2, "mlp", mlp, seed=2),
        attentive_spec(3, **wide),
        attentive_spec(4, batch_size=16, weight_decay=0.1),
    ]
