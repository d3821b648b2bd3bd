"""Calibration against answers known beforehand: by hand, by construction, and by scikit-learn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import log_loss

from distributed.calibration import (
    HIGHEST,
    LOWEST,
    NUM_BINS,
    apply_temperature,
    calibration_record,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability_bins,
)

Drawn = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]


def calibrated(videos: int = 40_000, classes: int = 6) -> Drawn:
    """Probabilities, and labels that are drawn from these very probabilities."""
    rng = np.random.default_rng(7)
    logits = 2.0 * rng.normal(size=(videos, classes))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.random((videos, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    return probabilities, np.minimum(labels, classes - 1)


def test_probabilities_that_labels_are_drawn_from_have_almost_no_error() -> None:
    probabilities, labels = calibrated()
    bins = reliability_bins(probabilities, labels)
    assert expected_calibration_error(bins) < 0.01
    assert len(bins) == NUM_BINS == 15 and sum(item["count"] for item in bins) == len(labels)
    assert fit_temperature(probabilities, labels) == pytest.approx(1.0, abs=0.02)
    sharpened = apply_temperature(probabilities, 0.4)
    assert expected_calibration_error(reliability_bins(sharpened, labels)) > 0.15


@pytest.mark.parametrize("known", [0.3, 0.7, 1.6, 4.0])
def test_a_known_temperature_is_found_again(known: float) -> None:
    """Raised to 1/T once, probabilities need the temperature 1/T to come back."""
    probabilities, labels = calibrated()
    distorted = apply_temperature(probabilities, known)
    found = fit_temperature(distorted, labels)
    assert found == pytest.approx(1 / known, rel=0.02)
    np.testing.assert_allclose(apply_temperature(distorted, 1 / known), probabilities, atol=1e-9)
    record = calibration_record(found, distorted, labels)
    assert record["ece"]["after"] < 0.01 < 0.05 < record["ece"]["before"]
    assert record["nll"]["after"] < record["nll"]["before"]


def test_two_bins_by_hand() -> None:
    probabilities = np.array([[0.4, 0.35, 0.25], [0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.05, 0.05, 0.9], [1.0, 0.0, 0.0]])
    labels = np.array([0, 1, 1, 0, 0])
    low, high = reliability_bins(probabilities, labels, num_bins=2)
    # 0.5 itself belongs to the lower bin: 0.4 right, 0.5 wrong; 0.8 right, 0.9 wrong, 1.0 right.
    assert (low["low"], low["high"], low["count"]) == (0.0, 0.5, 2)
    assert (low["confidence"], low["accuracy"]) == pytest.approx((0.45, 0.5))
    assert (high["low"], high["high"], high["count"]) == (0.5, 1.0, 3)
    assert (high["confidence"], high["accuracy"]) == pytest.approx((0.9, 2 / 3))
    assert expected_calibration_error([low, high]) == pytest.approx(2 / 5 * 0.05 + 3 / 5 * (0.9 - 2 / 3))


def test_a_bin_without_answers_has_no_means_and_rounding_above_one_is_no_bin_of_its_own() -> None:
    bins = reliability_bins(np.array([[1.0000001, 0.0]], np.float32), np.array([0]), num_bins=3)
    assert [item["count"] for item in bins] == [0, 0, 1]
    assert bins[0]["confidence"] is None and bins[0]["accuracy"] is None
    assert bins[2]["accuracy"] == 1.0


def test_the_likelihood_is_scikit_learns_and_a_probability_of_zero_is_finite() -> None:
    probabilities, labels = calibrated(videos=500)
    assert negative_log_likelihood(probabilities, labels) == pytest.approx(log_loss(labels, probabilities))
    impossible = np.array([[1.0, 0.0]], np.float32)
    assert negative_log_likelihood(impossible, np.array([1])) == pytest.approx(-np.log(np.finfo(np.float32).tiny))


def test_a_temperature_never_changes_an_answer() -> None:
    probabilities, _ = calibrated(videos=200)
    for temperature in (0.05, 0.5, 3.0, 20.0):
        scaled = apply_temperature(probabilities, temperature)
        np.testing.assert_allclose(scaled.sum(axis=1), 1)
        assert (scaled.argmax(axis=1) == probabilities.argmax(axis=1)).all()


def test_the_temperature_stays_within_its_bounds() -> None:
    sure = np.array([[0.6, 0.4], [0.3, 0.7]])
    assert fit_temperature(sure, np.array([0, 1])) == pytest.approx(LOWEST, rel=1e-3)  # all right: ever surer
    assert fit_temperature(sure, np.array([1, 0])) == pytest.approx(HIGHEST, rel=1e-3)  # all wrong: a guess


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="must be greater than 0"):
        apply_temperature(np.array([[0.5, 0.5]]), 0.0)
    with pytest.raises(ValueError, match="at least one"):
        fit_temperature(np.empty((0, 3)), np.empty(0, np.int64))
    with pytest.raises(ValueError, match="no answer"):
        expected_calibration_error(reliability_bins(np.empty((0, 3)), np.empty(0, np.int64)))
