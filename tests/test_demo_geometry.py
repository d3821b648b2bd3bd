"""Curves and their projection."""

from __future__ import annotations

import numpy as np
import pytest

from distributed.demo.geometry import SHIFT, Pose, band, closed_curve, ellipse, fixed_point, ribbon, stack_points, taper


def _pose(**angles: float) -> Pose:
    values = {"pitch": 0.0, "yaw": 0.0, "roll": 0.0, "x": 50.0, "y": 40.0, "scale": 10.0} | angles
    return Pose(**{name: np.array([value]) for name, value in values.items()})


def test_closed_curve_passes_through_its_controls_and_stays_smooth() -> None:
    controls = ellipse(0.0, 0.0, 2.0, 1.0, 12)
    curve = closed_curve(controls, samples=5)
    assert curve.shape == (60, 2)
    np.testing.assert_allclose(curve[::5], controls, atol=1e-12)
    radius = np.sqrt((curve[:, 0] / 2) ** 2 + curve[:, 1] ** 2)
    np.testing.assert_allclose(radius, 1, atol=0.01)


def test_a_frontal_head_is_only_scaled_and_shifted() -> None:
    points = np.array([[0.0, 0.0], [0.5, -0.5]])
    np.testing.assert_allclose(_pose().project(points)[0], [[50, 40], [55, 35]])


@pytest.mark.parametrize(("angle", "axis"), [("yaw", 0), ("pitch", 1)])
def test_turning_moves_what_is_in_front_further_than_the_outline(angle: str, axis: int) -> None:
    nose = np.array([[0.0, 0.0]])
    turned = _pose(**{angle: 0.2})
    front, outline = (turned.project(nose, depth)[0, 0] - (50, 40) for depth in (1.0, 0.0))
    assert front[axis] > 1.0
    assert abs(outline[axis]) < 1e-9


def test_tilting_keeps_the_chin_in_place_and_lengths_too() -> None:
    points = np.array([[0.0, 1.0], [0.0, -1.0]])
    straight, tilted = (_pose(roll=roll).project(points, 0.0)[0] for roll in (0.0, 0.3))
    np.testing.assert_allclose(tilted[0], straight[0])
    assert tilted[1, 0] > straight[1, 0] + 3
    assert np.linalg.norm(tilted[1] - tilted[0]) == pytest.approx(float(np.linalg.norm(straight[1] - straight[0])))


def test_a_ribbon_is_as_wide_as_asked_for() -> None:
    line = stack_points(np.linspace(0, 1, 5), np.zeros(5))
    stroke = ribbon(line, np.full(5, 0.1))
    np.testing.assert_allclose(np.abs(stroke[:, 1]), 0.1)
    assert stroke.shape == (10, 2)
    assert taper(9).argmax() == 4
    np.testing.assert_allclose(taper(9, 0.3, 0.5)[[0, 4, 8]], [0.3, 1.0, 0.5])


def test_a_band_runs_along_one_curve_and_back_along_the_other() -> None:
    upper, lower = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [1.0, 1.0]])
    np.testing.assert_array_equal(band(upper, lower), [[0, 0], [1, 0], [1, 1], [0, 1]])


def test_fixed_point_puts_the_middle_of_the_first_pixel_at_zero() -> None:
    np.testing.assert_array_equal(fixed_point(np.array([[0.5, 1.5]])), [[0, 1 << SHIFT]])
