"""Where the parts of a drawn face are: named points that a machine can be taught to find."""

from __future__ import annotations

import numpy as np

from distributed.demo.features import Sitter, brow_curve, eye_curves, mouth_curves
from distributed.demo.geometry import Array, stack_points

_SIDES = {"left": -1.0, "right": 1.0}  # of the picture
_ONE_SIDE = ("brow_inner", "brow_middle", "brow_outer", "eye_start", "eye_end", "lid", "under_eye")

LANDMARKS: tuple[str, ...] = (
    *(f"{side}_{part}" for side in _SIDES for part in _ONE_SIDE),
    "nose",
    "left_corner",
    "right_corner",
    "lip_top",
    "mouth_top",
    "mouth_bottom",
    "lip_bottom",
)


def landmarks(sitter: Sitter) -> Array:
    """The points of LANDMARKS in pixels, x and y: float64[T, L, 2]."""
    points: list[Array] = []
    for side in _SIDES.values():
        points.append(brow_curve(sitter, side)[:, [0, 4, 8]])
        x, upper, lower = eye_curves(sitter, side)
        middle = len(x) // 2
        points.append(stack_points(x[[0, -1, middle]], upper[:, [0, -1, middle]]))
        points.append(stack_points(x[[middle]], lower[:, [middle]]))
    who = sitter.identity
    points.append(np.broadcast_to([0.0, who.eye_y + who.nose_length], (sitter.frames, 1, 2)))
    mouth = mouth_curves(sitter)
    points.append(mouth["upper"][:, [0, -1]])
    points += [mouth[name][:, [8]] for name in ("top", "upper", "lower", "bottom")]
    return sitter.pose.project(np.concatenate(points, axis=1))
