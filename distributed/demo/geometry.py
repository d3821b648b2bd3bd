"""Curves of a drawn face and their way to pixels.

Face coordinates: x to the right of the picture, y down, z towards the viewer; the origin lies between and a
little below the eyes, the chin at y = 1, the crown at y = -1. Every shape is computed for all frames at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SHIFT = 5  # binary places of OpenCV's fixed-point coordinates


@dataclass(frozen=True)
class Shape:
    """A polygon in every frame: `points` float64[T, N, 2] in pixels, `colours` float64[T, 3] RGB.

    Where `shown` (bool[T]) is false the shape is left out of that frame.
    """

    points: Array
    colours: Array
    shown: NDArray[np.bool_]


@dataclass(frozen=True)
class Pose:
    """Head pose and camera in every frame: float64[T] each, angles in radians, `x`, `y`, `scale` in pixels."""

    pitch: Array
    yaw: Array
    roll: Array
    x: Array
    y: Array
    scale: Array

    def project(self, points: Array, depth: float = 1.0) -> Array:
        """Points float64[N or T×N, 2] on the face to pixels float64[T, N, 2], orthographically.

        `depth` 1 lies on the ellipsoid of the head, 0 in the plane of its outline, more than 1 sticks out.
        """
        x, y = points[..., 0], points[..., 1]
        z = depth * 0.75 * np.sqrt(np.maximum(0.08, 1 - (x / 0.92) ** 2 - (y / 1.2) ** 2))
        turned = x * np.cos(self.yaw)[:, None] + z * np.sin(self.yaw)[:, None]
        nodded = y * np.cos(self.pitch)[:, None] + z * np.sin(self.pitch)[:, None]
        # The head tilts about the neck, not about the nose.
        cosine, sine, above = np.cos(self.roll)[:, None], np.sin(self.roll)[:, None], nodded - 1.0
        column = turned * cosine - above * sine
        row = turned * sine + above * cosine + 1.0
        scale = self.scale[:, None]
        return np.stack([self.x[:, None] + scale * column, self.y[:, None] + scale * row], axis=-1)


@lru_cache(maxsize=64)
def _closed_basis(controls: int, samples: int) -> Array:
    """Catmull-Rom weights of a closed curve: float64[controls * samples, controls]."""
    step = np.arange(samples) / samples
    weights = np.stack(
        [
            -0.5 * step + step**2 - 0.5 * step**3,
            1 - 2.5 * step**2 + 1.5 * step**3,
            0.5 * step + 2 * step**2 - 1.5 * step**3,
            -0.5 * step**2 + 0.5 * step**3,
        ],
        axis=1,
    )
    basis = np.zeros((controls * samples, controls))
    for control in range(controls):
        rows = slice(control * samples, (control + 1) * samples)
        for offset in range(4):
            basis[rows, (control - 1 + offset) % controls] += weights[:, offset]
    return basis


def closed_curve(controls: Array, samples: int = 5) -> Array:
    """A smooth closed curve through control points [..., K, 2]: float64[..., K * samples, 2]."""
    result: Array = _closed_basis(controls.shape[-2], samples) @ controls
    return result


def stack_points(x: Array, y: Array) -> Array:
    """Points from coordinates that broadcast against each other: float64[..., 2]."""
    return np.stack(np.broadcast_arrays(x, y), axis=-1).astype(np.float64)


def band(upper: Array, lower: Array) -> Array:
    """The polygon between two curves [..., N, 2] that run the same way: float64[..., 2N, 2]."""
    return np.concatenate([upper, lower[..., ::-1, :]], axis=-2)


def ribbon(centre: Array, half_width: Array) -> Array:
    """A stroke along a curve [..., N, 2] with the given half width [N] across it: float64[..., 2N, 2]."""
    tangent = np.gradient(centre, axis=-2)
    length = np.maximum(np.sqrt((tangent**2).sum(axis=-1, keepdims=True)), 1e-9)
    normal = np.stack([-tangent[..., 1], tangent[..., 0]], axis=-1) / length
    side = normal * half_width[:, None]
    return band(centre + side, centre - side)


def taper(samples: int, start: float = 0.15, end: float = 0.15) -> Array:
    """Stroke widths that swell from `start` to 1 in the middle and fall to `end`: float64[samples]."""
    u = np.linspace(0, 1, samples)
    return np.where(u < 0.5, start + (1 - start) * np.sin(np.pi * u), end + (1 - end) * np.sin(np.pi * u))


def ellipse(x: float, y: float, width: float, height: float, samples: int = 20) -> Array:
    """An ellipse with the given half axes: float64[samples, 2]."""
    angle = np.linspace(0, 2 * np.pi, samples, endpoint=False)
    return stack_points(x + width * np.cos(angle), y + height * np.sin(angle))


def fixed_point(points: Array) -> NDArray[np.int32]:
    """Pixel coordinates as OpenCV's fixed-point integers: int32, the same on every machine."""
    # Pixel centres of OpenCV lie at whole numbers, hence the half.
    return np.rint((points - 0.5) * (1 << SHIFT)).astype(np.int32)
