"""The landmarks move with what they are named after."""

from __future__ import annotations

import numpy as np
import pytest

from distributed.demo.expressions import INDEX, PARAMETERS
from distributed.demo.features import Sitter
from distributed.demo.geometry import Pose
from distributed.demo.identity import draw_identity
from distributed.demo.landmarks import LANDMARKS, landmarks


def _points(**parameters: float) -> dict[str, np.ndarray]:
    """Landmarks of one frame whose head is 100 pixels from the middle to the chin."""
    values = np.zeros((1, len(PARAMETERS)))
    for name, value in parameters.items():
        values[0, INDEX[name]] = value
    still = np.zeros(1)
    pose = Pose(values[:, INDEX["pitch"]], values[:, INDEX["yaw"]], values[:, INDEX["roll"]], still, still, still + 100)
    points = landmarks(Sitter(draw_identity(2, seed=0), pose, values))
    assert points.shape == (1, len(LANDMARKS), 2)
    return dict(zip(LANDMARKS, points[0], strict=True))


@pytest.mark.parametrize(
    ("parameter", "value", "landmark", "axis", "least"),
    [
        ("brow_inner", 1.0, "left_brow_inner", 1, -5.0),
        ("brow_outer", -1.0, "right_brow_outer", 1, 5.0),
        ("brow_furrow", 1.0, "left_brow_inner", 0, 3.0),
        ("upper_lid", -1.0, "right_lid", 1, 5.0),
        ("lower_lid", 1.0, "left_under_eye", 1, -2.0),
        ("mouth_corner", 1.0, "left_corner", 1, -5.0),
        ("mouth_open", 1.0, "mouth_bottom", 1, 15.0),
        ("mouth_width", 1.0, "right_corner", 0, 4.0),
        ("upper_lip", 1.0, "lip_top", 1, -3.0),
        ("lower_lip", 1.0, "lip_bottom", 1, 1.0),
        ("yaw", 0.3, "nose", 0, 10.0),
        ("pitch", 0.3, "nose", 1, 10.0),
        ("roll", 0.3, "left_brow_inner", 0, 10.0),
    ],
)
def test_a_parameter_moves_its_landmark(parameter: str, value: float, landmark: str, axis: int, least: float) -> None:
    moved = _points(**{parameter: value})[landmark][axis] - _points()[landmark][axis]
    assert moved / least >= 1.0


def test_the_face_is_in_order() -> None:
    points = _points()
    heights = [points[name][1] for name in ("left_brow_middle", "left_lid", "left_under_eye", "nose", "lip_top")]
    assert heights == sorted(heights)
    assert points["left_corner"][0] < points["nose"][0] < points["right_corner"][0]
    np.testing.assert_allclose(points["mouth_top"], points["mouth_bottom"], atol=2.0)
