"""The quiet parts of a drawn person: shoulders, neck, ears, head, hair and beard."""

from __future__ import annotations

import numpy as np

from distributed.demo.features import Sitter
from distributed.demo.geometry import Array, Shape, band, closed_curve, ellipse, ribbon, stack_points, taper


def head_outline(sitter: Sitter) -> Array:
    """The outline of the head in every frame, the chin lower where the jaw drops: float64[T, N, 2]."""
    who = sitter.identity
    width, jaw, chin = who.head_width, who.jaw, who.chin
    right = [
        (0.0, -1.02), (0.46, -0.93), (0.83, -0.66), (0.99, -0.25), (0.985, 0.1), (0.94 * jaw, 0.42),
        (0.79 * jaw, 0.7), (0.5 * jaw, 0.94 * chin), (0.2, 1.03 * chin),
    ]  # fmt: skip
    points = right + [(-x, y) for x, y in reversed(right[1:])]
    controls = np.array(points) * np.array([width, 1.0])
    drop = 0.13 * np.maximum(0, sitter["mouth_open"]) * np.clip((controls[:, 1] - 0.35) / 0.6, 0, 1)
    return closed_curve(stack_points(controls[:, 0], controls[:, 1] + drop))


def _body(sitter: Sitter) -> list[Shape]:
    """Shoulders and neck; they follow the head a little, without its turning."""
    who = sitter.identity
    wide = who.shoulder
    slope = [(0.36, 1.22), (0.62, 1.36), (wide * 0.86, 1.5), (wide, 1.75), (wide * 1.06, 3.4)]
    half = np.array(slope)
    shoulders = np.concatenate([half * np.array([-1.0, 1.0]), half[::-1]])
    neck = np.array([[-0.4, 0.4], [-0.39, 1.1], [-0.5, 1.4], [0, 1.62], [0.5, 1.4], [0.39, 1.1], [0.4, 0.4]])
    u = np.linspace(-1, 1, 13)
    chin_shade = band(stack_points(0.4 * u, 0.5 + 0 * u), stack_points(0.4 * u, 1.22 - 0.36 * np.abs(u) ** 1.5))
    neckline = stack_points(0.56 * u, 1.34 + 0.36 * (1 - np.abs(u) ** 1.6))
    lit = who.skin * 0.9
    return [
        sitter.shape(shoulders, who.clothes, depth=0.0),
        sitter.shape(neck, lit, depth=0.0),
        sitter.shape(chin_shade, lit * 0.72, depth=0.0),
        sitter.shape(ribbon(neckline, 0.075 * np.ones(13)), who.collar, depth=0.0),
    ]


def _ears(sitter: Sitter) -> list[Shape]:
    who = sitter.identity
    shapes: list[Shape] = []
    if who.style == "long":
        return shapes
    for side in (-1.0, 1.0):
        x = side * who.head_width
        shapes.append(sitter.shape(ellipse(x, 0.06, 0.1 * who.ear, 0.19 * who.ear), who.skin * 0.93, depth=0.0))
        inner = ellipse(x + side * 0.015, 0.05, 0.05 * who.ear, 0.11 * who.ear)
        shapes.append(sitter.shape(inner, who.skin * 0.74, depth=0.0))
    return shapes


def _back_hair(sitter: Sitter) -> list[Shape]:
    who = sitter.identity
    dark = who.hair * 0.72
    wide = who.head_width + who.hair_volume
    if who.style == "long":
        right = [(0.0, -1.1), (0.6, -1.0), (1.0, -0.5), (1.08, 0.2), (1.12, 0.9), (1.0, 1.5), (0.6, 1.55)]
    elif who.style == "curly":
        end = 0.5 if who.sex == "Female" else 0.05
        right = [(0.0, -1.12), (0.62, -1.04), (1.1, -0.6), (1.17, end - 0.45), (1.0, end), (0.6, end + 0.1)]
    elif who.style == "bun":
        knot = ellipse(0.25 * who.hair_side, -1.18, 0.3, 0.26)
        return [sitter.shape(knot, who.hair * 0.82, depth=-0.5)]
    else:
        return []
    controls = np.array([*right, *((-x, y) for x, y in reversed(right[1:]))]) * np.array([wide, 1.0])
    return [sitter.shape(closed_curve(controls), dark, depth=-0.2)]


def _hairline(sitter: Sitter, angle: Array) -> Array:
    """Height of the hair over the forehead, from the left temple (-1) to the right one (1): float64[N]."""
    who = sitter.identity
    across = angle * who.hair_side
    lines: dict[str, Array] = {
        "short": -0.64 - 0.05 * np.cos(3 * angle) + 0.02 * np.cos(17 * angle),
        "parted": np.where(across < -0.3, -0.76, -0.76 + 0.3 * np.clip(across + 0.3, 0, 1) ** 0.7),
        "fringe": -0.47 - 0.05 * angle**2 + 0.02 * np.cos(19 * angle),
        "curly": -0.6 + 0.045 * np.cos(12 * angle),
        "long": -0.76 + 0.42 * np.abs(across + 0.25) ** 1.2,
        "bun": -0.74 + 0.12 * angle**2,
        "buzz": -0.68 - 0.05 * np.cos(4 * angle),
    }
    return lines[who.style]


def _front_hair(sitter: Sitter) -> list[Shape]:
    who = sitter.identity
    angle = np.linspace(-1.0, 1.0, 41)
    buzz = who.style == "buzz"
    volume = 0.02 if buzz else who.hair_volume
    # Outside: over the skull from one sideburn to the other.
    turn = angle * np.pi * 0.58
    wave = 0.03 * np.cos(15 * turn) * (who.style == "curly")
    width, height = who.head_width + 0.02 + 0.6 * volume + wave, 1.03 + 0.8 * volume + wave
    outer = stack_points(width * np.sign(turn) * np.abs(np.sin(turn)) ** 0.85, -height * np.cos(turn))
    # Inside: up the temple, along the hairline, down the other temple.
    temple = np.clip((np.abs(angle) - 0.7) / 0.3, 0, 1)
    line = _hairline(sitter, np.clip(angle / 0.7, -1, 1))
    sideburn = 0.0 if who.sex == "Female" else 0.16
    inner_y = line + (sideburn - line) * temple**1.1
    edge = who.head_width * np.sqrt(np.clip(1 - (np.minimum(inner_y, 0.0) / 1.06) ** 2, 0, 1))
    inner_x = np.sign(angle) * np.minimum(np.abs(angle) / 0.7, 1.0) * edge * (0.9 + 0.07 * temple)
    share = 0.6 if buzz else 1.0
    colour = share * who.hair + (1 - share) * who.skin
    gloss = ribbon(0.68 * outer[9:23] + 0.32 * stack_points(inner_x, inner_y)[9:23], taper(14) * 0.03)
    shapes = [sitter.shape(band(outer, stack_points(inner_x, inner_y)), colour, depth=0.3)]
    return shapes if buzz else [*shapes, sitter.shape(gloss, np.clip(colour * 1.18 + 6, 0, 255), depth=0.3)]


def _beard(sitter: Sitter, outline: Array) -> list[Shape]:
    who = sitter.identity
    if who.beard == 0.0:
        return []
    jaw = outline[:, 20:66]  # from the right ear over the chin to the left one
    u = np.linspace(-1, 1, jaw.shape[1])
    drop = 0.1 * np.maximum(0, sitter["mouth_open"])
    inner_x = -u * who.head_width * (0.92 - 0.25 * (1 - u**2))
    inner_y = 0.1 + (0.64 + drop) * np.clip(1.25 * (1 - np.abs(u) ** 3), 0, 1)
    share = 0.35 + 0.55 * who.beard
    colour = share * who.hair + (1 - share) * who.skin
    shapes = [sitter.shape(band(jaw, stack_points(inner_x, inner_y)), colour, depth=0.4)]
    if who.moustache:
        v = np.linspace(-1, 1, 11)
        lift = 0.05 * np.maximum(0, sitter["upper_lip"])
        line = stack_points(0.27 * v, who.mouth_y - 0.1 - lift + 0.05 * v**2)
        shapes.append(sitter.shape(ribbon(line, taper(11, 0.2, 0.2) * 0.04), colour))
    return shapes


def person_shapes(sitter: Sitter, face: list[Shape]) -> list[Shape]:
    """The whole person from back to front, with the given features on the face."""
    who = sitter.identity
    outline = head_outline(sitter)
    blush = 0.9 * who.skin + 0.1 * who.lips
    # Nearer to the outline's plane than the features, lest they stick out of a head that turns.
    cheeks = [sitter.shape(ellipse(side * 0.42, 0.3, 0.18, 0.12), blush, depth=0.5) for side in (-1.0, 1.0)]
    return [
        *_back_hair(sitter),
        *_body(sitter),
        *_ears(sitter),
        sitter.shape(outline, who.skin, depth=0.35),
        *cheeks,
        *_beard(sitter, outline),
        *face,
        *_front_hair(sitter),
    ]
