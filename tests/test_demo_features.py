"""The moving parts of the face: shapes that stay drawable for every expression."""

from __future__ import annotations

import numpy as np
import pytest

from distributed.demo.expressions import INDEX, PARAMETERS
from distributed.demo.features import Sitter, eye_curves, face_shapes, mouth_curves
from distributed.demo.geometry import Pose
from distributed.demo.identity import draw_identity


def _sitter(parameters: np.ndarray, actor: int = 1) -> Sitter:
    still = np.zeros(len(parameters))
    return Sitter(draw_identity(actor, seed=0), Pose(still, still, still, still, still, still + 50), parameters)


def _random(frames: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (frames, len(PARAMETERS)))


@pytest.mark.parametrize("actor", range(1, 7))
def test_shapes_are_finite_polygons_with_a_colour_for_every_frame(actor: int) -> None:
    shapes = face_shapes(_sitter(_random(5), actor))
    assert len(shapes) > 30
    for shape in shapes:
        assert shape.points.shape[0] == len(shape.colours) == len(shape.shown) == 5
        assert np.isfinite(shape.points).all()
        assert (np.abs(shape.points) < 100).all()


def test_lids_never_cross_and_a_closed_eye_is_closed() -> None:
    for side in (-1.0, 1.0):
        _, upper, lower = eye_curves(_sitter(_random(200)), side)
        assert (upper <= lower + 1e-12).all()
    closing = np.zeros((2, len(PARAMETERS)))
    closing[1, INDEX["upper_lid"]] = -1
    sitter = _sitter(closing)
    _, upper, lower = eye_curves(sitter, 1.0)
    np.testing.assert_allclose(upper[1], lower[1])
    irises = [shape.shown for shape in face_shapes(sitter) if (shape.colours[0] == sitter.identity.iris).all()]
    assert np.array(irises).tolist() == [[True, False]] * 2


def test_lines_of_the_mouth_stay_in_order() -> None:
    lines = mouth_curves(_sitter(_random(200)))
    for above, below in (("top", "upper"), ("upper", "teeth"), ("upper", "tongue"), ("lower", "bottom")):
        assert (lines[above][..., 1] <= lines[below][..., 1] + 1e-9).all(), (above, below)


def test_teeth_show_only_when_the_lips_part() -> None:
    parted = np.zeros((2, len(PARAMETERS)))
    parted[1, INDEX["mouth_open"]] = 0.6
    shown = np.array([shape.shown for shape in face_shapes(_sitter(parted))]).sum(axis=0)
    assert shown[1] >= shown[0] + 3


def test_folds_appear_with_the_expression() -> None:
    wrinkled = np.zeros((2, len(PARAMETERS)))
    wrinkled[1, [INDEX["brow_furrow"], INDEX["nose_wrinkle"]]] = 1
    shown = np.array([shape.shown for shape in face_shapes(_sitter(wrinkled))]).sum(axis=0)
    assert shown[1] >= shown[0] + 4
