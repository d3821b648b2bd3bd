"""The moving parts of a drawn face: eyes, brows, nose, mouth and the folds between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distributed.demo.expressions import INDEX
from distributed.demo.geometry import Array, Pose, Shape, band, ellipse, ribbon, stack_points, taper
from distributed.demo.identity import Identity

_WHITE = np.array([238.0, 234.0, 228.0])
_BLACK = np.array([24.0, 18.0, 18.0])
_MOUTH = np.array([70.0, 22.0, 26.0])
_TONGUE = np.array([190.0, 92.0, 94.0])


@dataclass(frozen=True)
class Sitter:
    """Who is drawn (`identity`), where (`pose`) and with which facial parameters, float64[T, P]."""

    identity: Identity
    pose: Pose
    parameters: Array

    def __getitem__(self, name: str) -> Array:
        """One facial parameter as a column: float64[T, 1]."""
        return self.parameters[:, INDEX[name], None]

    @property
    def frames(self) -> int:
        return len(self.parameters)

    def shape(self, points: Array, colour: Array, *, depth: float = 1.0, shown: Array | None = None) -> Shape:
        """A polygon [N or T×N, 2] in face units, of one colour or a colour per frame."""
        pixels = np.broadcast_to(self.pose.project(points, depth), (self.frames, points.shape[-2], 2))
        visible = np.ones(self.frames, dtype=bool) if shown is None else shown.reshape(-1) > 0.0
        return Shape(pixels, np.broadcast_to(colour, (self.frames, 3)), visible)

    def shadow(self, points: Array, strength: Array | float, *, tint: Array | None = None) -> Shape:
        """A shade on the skin: the skin's colour, darkened by a strength in [0, 1] that may vary, [T, 1]."""
        amount = np.clip(np.broadcast_to(strength, (self.frames, 1)), 0.0, 1.0)
        skin = self.identity.skin
        dark = skin * np.array([0.42, 0.32, 0.30]) if tint is None else tint
        return self.shape(points, skin + amount * (dark - skin), shown=amount - 0.06)


def eye_curves(sitter: Sitter, side: float, samples: int = 13) -> tuple[Array, Array, Array]:
    """Of one eye (side -1 left in the picture, 1 right): x [N], upper and lower lid height [T, N]."""
    who = sitter.identity
    u = np.linspace(-1, 1, samples)
    x = side * who.eye_distance + who.eye_width * u
    tilt = who.eye_y - who.eye_tilt * u * side
    lower = tilt + 0.62 * who.eye_height * (1 - u**2) * (1 - 1.25 * np.maximum(0, sitter["lower_lid"]))
    lid = sitter["upper_lid"]
    opening = 1 + np.where(lid > 0, 0.7 * lid, lid)
    upper = tilt - who.eye_height * (1.62 * opening - 0.62) * (1 - np.abs(u) ** 2.4)
    return x, np.minimum(upper, lower), lower


def _eye(sitter: Sitter, side: float) -> list[Shape]:
    who = sitter.identity
    x, upper, lower = eye_curves(sitter, side)
    lid, floor = stack_points(x, upper), stack_points(x, lower)

    def inside(points: Array) -> Array:
        """Points [T, N, 2] moved up or down into the opening of the eye."""
        column = points[..., 0]
        pairs = list(zip(column, upper, lower, strict=True))
        top = np.stack([np.interp(row, x, curve) for row, curve, _ in pairs])
        low = np.stack([np.interp(row, x, curve) for row, _, curve in pairs])
        return stack_points(column, np.clip(points[..., 1], top, low))

    centre_x = side * who.eye_distance + 0.055 * sitter["gaze_x"]
    centre_y = who.eye_y - 0.012 + 0.03 * sitter["gaze_y"]
    centre = np.stack([centre_x, centre_y], axis=-1)
    opened = (lower - upper).max(axis=1, keepdims=True) - 0.012
    crease = stack_points(x, upper - 0.035 - 0.02 * np.maximum(0, sitter["upper_lid"]))
    bag = stack_points(x[2:-2], lower[:, 2:-2] + 0.03 + 0.012 * sitter["lower_lid"])
    lash = ribbon(stack_points(x, upper - 0.006), taper(len(x), 0.3, 0.3) * (0.02 if who.sex == "Female" else 0.015))
    return [
        sitter.shadow(band(crease, lid), 0.28),
        sitter.shadow(ribbon(bag, taper(len(x) - 4) * 0.018), 0.12 + 0.45 * sitter["lower_lid"]),
        sitter.shape(band(lid, floor), _WHITE, shown=opened),
        sitter.shape(inside(centre + ellipse(0, 0, 0.078, 0.078)), who.iris, shown=opened),
        sitter.shape(inside(centre + ellipse(0, 0, 0.038, 0.038, 12)), _BLACK, shown=opened),
        sitter.shape(inside(centre + ellipse(-0.028, -0.03, 0.017, 0.017, 8)), _WHITE, shown=opened - 0.03),
        sitter.shape(lash, 0.25 * who.hair + 0.75 * _BLACK),
        sitter.shadow(ribbon(floor, taper(len(x)) * 0.008), 0.5),
    ]


def brow_curve(sitter: Sitter, side: float) -> Array:
    """The middle of one brow from its inner to its outer end: float64[T, 9, 2]."""
    who = sitter.identity
    u = np.linspace(0, 1, 9)
    skewed = 1 + 0.25 * who.skew * side
    furrow = np.maximum(0, sitter["brow_furrow"])
    inner = who.eye_distance - 0.2 - 0.06 * furrow
    x = side * (inner + (who.eye_distance + 0.23 - inner) * u)
    arch = who.brow_arch * (np.sin(np.pi * u**1.3) - 0.6 * u**3)
    weight = (1 - u) ** 1.2
    lift = 0.18 * skewed * (sitter["brow_inner"] * weight + sitter["brow_outer"] * (1 - weight))
    return stack_points(x, who.brow_y - arch - lift + 0.035 * furrow * weight)


def _brow(sitter: Sitter, side: float) -> Shape:
    who = sitter.identity
    u = np.linspace(0, 1, 9)
    width = who.brow_thickness * np.interp(u, [0, 0.15, 0.6, 1], [0.7, 1.0, 0.85, 0.25])
    return sitter.shape(ribbon(brow_curve(sitter, side), width), 0.8 * who.hair + 0.12 * who.skin)


def _frown_lines(sitter: Sitter) -> list[Shape]:
    who = sitter.identity
    rows = np.linspace(-0.1, 0.09, 6)
    frown = sitter["brow_furrow"] * 0.8 + 0.3 * np.maximum(0, -sitter["brow_inner"]) - 0.1
    shapes = [
        sitter.shadow(ribbon(stack_points(side * (0.055 + 0.02 * rows), rows + who.brow_y), taper(6) * 0.016), frown)
        for side in (-1.0, 1.0)
    ]
    columns = np.linspace(-0.36, 0.36, 11)
    raised = 0.55 * np.maximum(0, sitter["brow_inner"]) + 0.25 * np.maximum(0, sitter["brow_outer"])
    for height in (-0.58, -0.67):
        y = height - 0.05 * sitter["brow_inner"] - 0.04 * np.cos(columns * 4)
        shapes.append(sitter.shadow(ribbon(stack_points(columns, y), taper(11) * 0.012), raised - 0.1))
    wrinkles = np.maximum(0, sitter["nose_wrinkle"]) * 0.9
    across = np.linspace(-0.09, 0.09, 5)
    for height in (0.0, 0.055):
        line = stack_points(across, who.eye_y + height - 2.5 * across**2)
        shapes.append(sitter.shadow(ribbon(line, taper(5) * 0.012), wrinkles))
    return shapes


def _nose(sitter: Sitter) -> list[Shape]:
    who = sitter.identity
    wrinkle = np.maximum(0, sitter["nose_wrinkle"])
    bottom = who.eye_y + who.nose_length + 0.06 - 0.05 * wrinkle
    u = np.linspace(-1, 1, 11)
    under = bottom + 0.035 * (1 - u**2) - 0.02
    width = who.nose_width * (1 + 0.14 * wrinkle)
    shapes = [sitter.shadow(band(stack_points(width * u, under - 0.045), stack_points(width * u, under)), 0.2)]
    bridge = np.linspace(0, 1, 8)
    ridge = stack_points(-0.05 - 0.055 * bridge**2, who.eye_y - 0.12 + (bottom - who.eye_y + 0.08) * bridge)
    shapes.append(sitter.shadow(ribbon(ridge, taper(8, 0.1, 0.6) * 0.022), 0.2))
    for side in (-1.0, 1.0):
        wing = np.linspace(0, 1, 6)
        x = side * width * (0.86 + 0.14 * np.sin(np.pi * wing))
        y = bottom - 0.08 + 0.085 * wing
        shapes.append(sitter.shadow(ribbon(stack_points(x, y), taper(6, 0.2, 0.5) * 0.014), 0.55))
        hole = stack_points(side * 0.5 * width, bottom + 0.004)
        shapes.append(sitter.shadow(hole + ellipse(0, 0, 0.034, 0.017, 10), 0.85))
    return shapes


def mouth_curves(sitter: Sitter) -> dict[str, Array]:
    """The lines of the mouth from its left to its right corner, each float64[T, 17, 2], from top to bottom."""
    who = sitter.identity
    u = np.linspace(-1, 1, 17)
    arc = 1 - u**2
    corner = sitter["mouth_corner"] * (1 + 0.3 * who.skew * u)
    x = who.mouth_width * (1 + 0.32 * sitter["mouth_width"]) * u
    # Corners go up or down while the middle gives way a little to the other side.
    seam = who.mouth_y - 0.18 * corner * (np.abs(u) ** 1.7 - 0.3)
    gape = np.maximum(0, sitter["mouth_open"])
    lift = np.maximum(0, sitter["upper_lip"])
    inner_top = seam - (0.1 * gape + 0.085 * lift) * arc**0.8
    inner_low = seam + (0.3 * gape + 0.015 * lift) * arc**0.7
    press = sitter["lower_lip"]
    full = who.lip_thickness * (1 + 0.6 * np.minimum(0, press)) * (1 - 0.3 * np.maximum(0, sitter["mouth_width"]))
    bow = arc**0.6 * (1 - 0.28 * np.exp(-((u / 0.16) ** 2)))
    outer_top = inner_top - full * bow
    pout = 1 + 0.7 * np.maximum(0, press)
    outer_low = inner_low + 1.25 * full * pout * arc**0.55 - 0.03 * np.maximum(0, press) * arc
    teeth = np.clip(inner_top + 0.085 * arc**0.4, inner_top, np.maximum(inner_top, inner_low - 0.008))
    tongue = np.clip(inner_low - 0.1 * gape * arc, inner_top, inner_low)
    lines = {"top": outer_top, "upper": inner_top, "teeth": teeth}
    lines |= {"tongue": tongue, "lower": inner_low, "bottom": outer_low}
    return {name: stack_points(x, y) for name, y in lines.items()}


def _mouth(sitter: Sitter) -> list[Shape]:
    who = sitter.identity
    curves = mouth_curves(sitter)
    opened = (curves["lower"] - curves["upper"])[..., 1].max(axis=1, keepdims=True) - 0.02
    press = sitter["lower_lip"]
    chin = curves["bottom"][:, 4:-4] * np.array([0.8, 1.0]) + np.array([0.0, 0.06])
    return [
        sitter.shadow(ribbon(chin, taper(9) * 0.016), 0.22 + 0.3 * np.maximum(0, press)),
        sitter.shape(band(curves["top"], curves["bottom"]), who.lips),
        sitter.shape(band(curves["top"], curves["upper"]), who.lips * 0.86),
        sitter.shape(band(curves["upper"], curves["lower"]), _MOUTH, shown=opened),
        sitter.shape(band(curves["tongue"], curves["lower"]), _TONGUE, shown=opened - 0.08),
        sitter.shape(band(curves["upper"], curves["teeth"]), _WHITE, shown=opened - 0.015),
        sitter.shape(ribbon(curves["upper"], taper(17, 0.5, 0.5) * 0.011), who.lips * 0.38),
    ]


def _smile_folds(sitter: Sitter) -> list[Shape]:
    who = sitter.identity
    smile = np.maximum(0, sitter["mouth_corner"])
    strength = 0.12 + 0.4 * smile + 0.35 * np.maximum(0, sitter["nose_wrinkle"]) + 0.2 * sitter["upper_lip"]
    v = np.linspace(0, 1, 8)
    start = who.eye_y + who.nose_length
    shapes = []
    for side in (-1.0, 1.0):
        reach = who.mouth_width * (1 + 0.32 * sitter["mouth_width"]) + 0.07
        x = side * (who.nose_width + 0.03 + (reach - who.nose_width - 0.03) * v**0.7)
        end = who.mouth_y - 0.02 - 0.13 * sitter["mouth_corner"]
        shapes.append(sitter.shadow(ribbon(stack_points(x, start + (end - start) * v), taper(8) * 0.015), strength))
    return shapes


def _glasses(sitter: Sitter) -> list[Shape]:
    who = sitter.identity
    if not who.glasses:
        return []
    frame = np.array([46.0, 40.0, 44.0])
    shapes = []
    for side in (-1.0, 1.0):
        loop = ellipse(side * who.eye_distance, who.eye_y + 0.02, 0.26, 0.19, 24)
        loop = np.concatenate([loop, loop[:1]])
        shapes.append(sitter.shape(ribbon(loop, np.full(25, 0.014)), frame, depth=1.1))
    bridge = stack_points(np.linspace(-0.1, 0.1, 5), np.array(who.eye_y - 0.03))
    shapes.append(sitter.shape(ribbon(bridge, np.full(5, 0.014)), frame, depth=1.1))
    return shapes


def face_shapes(sitter: Sitter) -> list[Shape]:
    """The features from back to front."""
    eyes = _eye(sitter, -1.0) + _eye(sitter, 1.0)
    brows = [_brow(sitter, -1.0), _brow(sitter, 1.0)]
    return [
        *_smile_folds(sitter),
        *eyes,
        *_nose(sitter),
        *_frown_lines(sitter),
        *brows,
        *_mouth(sitter),
        *_glasses(sitter),
    ]
