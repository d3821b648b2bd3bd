"""The figure of probabilities over time holds every class's curve against seconds."""

import numpy as np
import pytest

from tracking.drawing import to_png
from tracking.timeline import MOST_POINTS, probability_timeline

NAMES = ("happy", "neutral", "sad")


def test_each_class_is_a_curve_between_its_rows_foot_and_head() -> None:
    seconds = np.array([0.5, 1.0, 1.5])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]], np.float32)
    figure = probability_timeline(seconds, probabilities, NAMES, title="a.mp4")
    (axes,) = figure.axes
    curves = [line for line in axes.get_lines() if len(np.atleast_1d(line.get_xdata())) == 3]
    assert len(curves) == 3
    for row, line in enumerate(curves):
        np.testing.assert_allclose(np.asarray(line.get_xdata()), seconds)
        np.testing.assert_allclose((row + 0.4 - np.asarray(line.get_ydata())) / 0.8, probabilities[:, row], atol=1e-6)
    texts = [text.get_text() for text in axes.texts]
    assert set(NAMES) < set(texts) and {"43 %", "20 %", "37 %"} < set(texts)
    assert axes.get_xlabel().startswith("seconds")
    assert to_png(figure).startswith(b"\x89PNG")


def test_hours_and_a_single_window_can_be_drawn() -> None:
    many = np.full((50_000, 3), 1 / 3, np.float32)
    (axes,) = probability_timeline(np.linspace(0, 3600, 50_000), many, NAMES, title="long").axes
    assert max(len(np.atleast_1d(line.get_xdata())) for line in axes.get_lines()) == MOST_POINTS
    assert axes.get_xlim()[1] > 3600
    to_png(probability_timeline(np.array([0.3]), many[:1], NAMES, title="short"))


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match="fit neither 2 times nor 3 names"):
        probability_timeline(np.zeros(2), np.zeros((2, 4), np.float32), NAMES, title="")
