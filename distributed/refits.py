"""Configurations of a search trained again in one pack, and what they say about videos that they have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from distributed import metrics
from distributed.labelled_tokens import LabelledTokens, Rows
from distributed.search import Record, derived_seed
from distributed.training import ProbeResult, ProbeSpec, TrainingConfig, predict_probabilities, train_pack
from search_spaces.family import build_probe

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Refit:
    """A configuration trained to the end: its result with its weights, and its probabilities float32[B, C]."""

    result: ProbeResult
    probabilities: Probabilities

    @property
    def spec(self) -> ProbeSpec:
        return self.result.spec


def refit_spec(seed: int, record: Record, repeat: int = 0) -> ProbeSpec:
    """A searched configuration with a seed of its own for every repeat; `seed` is the fold's."""
    names = ("refit", record["trial"]) if repeat == 0 else ("refit", record["trial"], repeat)
    return record_spec(record, derived_seed(seed, *names))


def record_spec(record: Record, seed: int) -> ProbeSpec:
    """A searched configuration with some seed, to be trained for as many epochs as its score comes from."""
    return ProbeSpec(record["trial"] or 0, record["family"], record["params"], seed, record.get("best_epoch"))


def train_and_predict(
    tokens: LabelledTokens,
    rows: Rows,
    asked: Rows,
    specs: Sequence[ProbeSpec],
    training: TrainingConfig,
    *,
    seed: int,
) -> list[Refit | ProbeResult]:
    """Train all of `specs` on the videos `rows` in one pack, to the end, and ask them about the videos `asked`.

    `seed` is the fold's: the order of the videos and their views follow from it as they did in the search.

    Returns a refit, or the result of a configuration whose numbers stopped being finite, in the order of `specs`.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    reader = tokens.reader(derived_seed(seed, "views"), training.views)
    results = train_pack(
        reader,
        tokens.labels,
        rows,
        np.empty(0, np.int64),
        specs,
        training,
        num_classes=tokens.num_classes,
        seed=derived_seed(seed, "order"),
        device=device,
        names=tokens.video_ids,
    )
    complete = [result for result in results if result.state == "complete"]
    if not complete:
        return list(results)
    probes = []
    for result in complete:
        spec = result.spec
        probe = build_probe(
            spec.family,
            spec.params,
            dim=reader.shape[1],
            num_classes=tokens.num_classes,
            seed=spec.seed,
            grid=reader.grid,
        )
        probe.load_state_dict(result.state_dict)
        probes.append(probe)
    refits = {}
    for result, said in zip(complete, predict_probabilities(reader, asked, probes, device=device), strict=True):
        if np.isfinite(said).all():
            refits[id(result)] = Refit(result, said)
        else:
            result.state, result.reason = "failed", "its probabilities are not finite; try a lower lr"
    return [refits.get(id(result), result) for result in results]


def score(tokens: LabelledTokens, rows: Rows, probabilities: Any) -> tuple[dict[str, float], metrics.Confusion]:
    """The scores by name and the confusion matrix int64[C, C] of probabilities float[B, C] of the videos `rows`."""
    confusion = metrics.confusion_matrix(tokens.labels[rows], probabilities.argmax(axis=1), tokens.num_classes)
    return metrics.scores(confusion), confusion
