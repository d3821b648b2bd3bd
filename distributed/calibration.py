"""Whether class probabilities mean what they say, and a temperature that mends them.

Guo, Pleiss, Sun, Weinberger, On Calibration of Modern Neural Networks, 2017 (arXiv 1706.04599): reliability
bins, expected calibration error, and temperature scaling, which changes no answer, only how sure it sounds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

Probabilities = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]

NUM_BINS = 15
# The logarithm of the temperature is searched between these: beyond them every answer is certain or a guess.
LOWEST, HIGHEST = 0.05, 20.0


def _logs(probabilities: Probabilities) -> npt.NDArray[np.float64]:
    """Logarithms float64[n, C]; a probability that float32 rounded to zero counts as the smallest it can hold."""
    values = np.asarray(probabilities)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"probabilities must be a row per video, at least one, not of shape {values.shape}")
    return np.log(np.maximum(values.astype(np.float64), float(np.finfo(np.float32).tiny)))


def apply_temperature(probabilities: Probabilities, temperature: float) -> npt.NDArray[np.float64]:
    """Probabilities float64[n, C] ∝ p^(1/T): above 1 they become less sure, below 1 surer."""
    if not temperature > 0:
        raise ValueError(f"the temperature {temperature} must be greater than 0")
    scaled: npt.NDArray[np.float64] = special.softmax(_logs(probabilities) / temperature, axis=1)
    return scaled


def negative_log_likelihood(probabilities: Probabilities, labels: Labels) -> float:
    """The mean of -log p of the true classes int64[n], in nats."""
    return float(-_logs(probabilities)[np.arange(len(labels)), labels].mean())


def fit_temperature(probabilities: Probabilities, labels: Labels) -> float:
    """The temperature under which the true classes int64[n] are most likely, between `LOWEST` and `HIGHEST`.

    The likelihood has one peak: as a function of 1/T its logarithm is concave.
    """
    from scipy import optimize  # here, as every command and worker imports this file

    logs, rows = _logs(probabilities), np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = special.log_softmax(logs / np.exp(log_temperature), axis=1)
        return float(-scaled[rows, labels].mean())

    bounds = (float(np.log(LOWEST)), float(np.log(HIGHEST)))
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def reliability_bins(probabilities: Probabilities, labels: Labels, num_bins: int = NUM_BINS) -> list[dict[str, Any]]:
    """The answers in bins of equal width of their confidence, from `low` (left out) to `high`.

    Each has `count`, and the mean `confidence` and the `accuracy` of its answers, None where there is none.
    """
    values = np.asarray(probabilities, np.float64)
    confidence, right = values.max(axis=1), values.argmax(axis=1) == labels
    edges = np.linspace(0, 1, num_bins + 1)
    # A probability may exceed 1 by a rounding error.
    place = np.searchsorted(edges, np.minimum(confidence, 1.0), side="left") - 1
    bins = []
    for index in range(num_bins):
        mine = place == index
        count = int(mine.sum())
        means = {
            "confidence": float(confidence[mine].mean()) if count else None,
            "accuracy": float(right[mine].mean()) if count else None,
        }
        bins.append({"low": float(edges[index]), "high": float(edges[index + 1]), "count": count, **means})
    return bins


def expected_calibration_error(bins: list[dict[str, Any]]) -> float:
    """The mean distance of confidence and accuracy over the answers, bin by bin."""
    total = sum(item["count"] for item in bins)
    if not total:
        raise ValueError("no answer was given: the bins are empty")
    distances = [item["count"] * abs(item["accuracy"] - item["confidence"]) for item in bins if item["count"]]
    return float(sum(distances) / total)


def calibration_record(temperature: float, probabilities: Probabilities, labels: Labels) -> dict[str, Any]:
    """What a temperature that was fitted elsewhere does to probabilities float[n, C] of videos int64[n].

    `ece`, `nll` and `bins`, each as `before` and `after` the temperature is applied.
    """
    record: dict[str, Any] = {"temperature": temperature, "ece": {}, "nll": {}, "bins": {}}
    for when, values in (("before", probabilities), ("after", apply_temperature(probabilities, temperature))):
        bins = reliability_bins(values, labels)
        record["bins"][when] = bins
        record["ece"][when] = expected_calibration_error(bins)
        record["nll"][when] = negative_log_likelihood(values, labels)
    return record
