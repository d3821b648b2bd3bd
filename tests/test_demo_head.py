"""Head, hair and body: behind the face, and moved by the jaw only where there is one."""

from __future__ import annotations

import numpy as np
import pytest

from distributed.demo.expressions import INDEX, PARAMETERS
from distributed.demo.features import Sitter
from distributed.demo.geometry import Pose, Shape
from distributed.demo.head import head_outline, person_shapes
from distributed.demo.identity import HAIR_STYLES, Identity, draw_identity


def _sitter(who: Identity, jaw: float = 0.0) -> Sitter:
    parameters = np.zeros((1, len(PARAMETERS)))
    parameters[0, INDEX["mouth_open"]] = jaw
    still = np.zeros(1)
    return Sitter(who, Pose(still, still, still, still, still, still + 100), parameters)


def _with_style(style: str) -> Identity:
    return next(who for who in (draw_identity(actor, seed=0) for actor in range(1, 200)) if who.style == style)


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_every_style_covers_the_crown_and_leaves_the_face_free(style: str) -> None:
    sitter = _sitter(_with_style(style))
    *_, hair = [shape for shape in person_shapes(sitter, []) if np.ptp(shape.points[0, :, 0]) > 120]
    assert hair.points[0, :, 1].min() < -100  # above the skull
    low = hair.points[0][np.abs(hair.points[0, :, 0]) < 25, 1].max()
    assert low < -35  # the fringe ends above the brows


def test_an_open_mouth_lowers_the_chin_and_nothing_else() -> None:
    who = draw_identity(1, seed=0)
    closed, opened = (head_outline(_sitter(who, jaw))[0] for jaw in (0.0, 1.0))
    moved = opened[:, 1] - closed[:, 1]
    assert moved.max() > 0.1
    assert np.abs(moved[closed[:, 1] < 0.2]).max() < 0.02


def test_the_outline_is_symmetric() -> None:
    outline = head_outline(_sitter(draw_identity(3, seed=0)))[0]
    assert outline[:, 0].max() == pytest.approx(-outline[:, 0].min(), abs=1e-9)


def test_the_face_lies_between_head_and_hair() -> None:
    sitter = _sitter(_with_style("short"))
    mark = Shape(np.zeros((1, 3, 2)), np.zeros((1, 3)), np.ones(1, dtype=bool))
    place = next(number for number, shape in enumerate(person_shapes(sitter, [mark])) if shape is mark)
    assert 0 < place < len(person_shapes(sitter, [mark])) - 1
