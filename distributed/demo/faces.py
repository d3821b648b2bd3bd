"""Drawn faces that act an emotion: the pictures of the demo's videos, made from integers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from distributed.demo.expressions import INDEX, clip_times, emotion_parameters, generator, random_parameters
from distributed.demo.features import Sitter, face_shapes
from distributed.demo.geometry import SHIFT, Array, Pose, Shape, fixed_point
from distributed.demo.head import person_shapes
from distributed.demo.identity import Identity, draw_identity
from distributed.demo.landmarks import landmarks

Frames = NDArray[np.uint8]

_NOISE_MARGIN = 32


@dataclass(frozen=True)
class Clip:
    """A drawn clip, `frames` uint8[T, H, W, 3] RGB, and what was drawn.

    `parameters` float32[T, P] move the face; `landmarks` float32[T, L, 2] say where that left it, x and y in pixels.
    """

    frames: Frames
    parameters: NDArray[np.float32]
    landmarks: NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """Camera, light and room of one clip; none of it knows the emotion."""

    zoom: float  # face units in half the height of the picture
    x: float  # where the head is, in heights of the picture from its centre
    y: float
    light: Array  # float64[2]: brightness gained towards the right and towards the bottom
    key: Array  # float64[2]: where the light on the head comes from
    exposure: Array  # float64[3]: gain of each colour
    noise: float  # standard deviation in grey levels
    wobble: Array  # float64[2, 3, 3]: amplitude, hertz and phase of the head's drift, per axis


def draw_scene(key: tuple[int, ...]) -> Scene:
    """The scene that a tuple of integers names."""
    rng = generator(*key)
    wobble = np.stack([rng.uniform(0, 0.015, (2, 3)), rng.uniform(0.1, 0.8, (2, 3)), rng.uniform(0, 6.28, (2, 3))], -1)
    angle = rng.uniform(0, 2 * np.pi)
    return Scene(
        zoom=float(rng.uniform(1.12, 1.4)),
        x=float(rng.normal(0, 0.03)),
        y=float(rng.normal(-0.01, 0.025)),
        light=rng.normal(0, 0.14, 2),
        key=np.array([np.cos(angle), -0.4 + 0.6 * np.sin(angle)]) * rng.uniform(0.1, 0.26),
        exposure=rng.uniform(0.78, 1.12) * rng.normal(1, 0.035, 3),
        noise=float(rng.uniform(1.0, 3.5)),
        wobble=wobble,
    )


def _pose(scene: Scene, parameters: NDArray[np.float32], times: Array, size: tuple[int, int]) -> Pose:
    height, width = size
    amplitude, frequency, phase = (scene.wobble[:, None, :, part] for part in range(3))
    drift = (amplitude * np.sin(2 * np.pi * frequency * times[None, :, None] + phase)).sum(axis=-1)
    columns = (parameters[:, INDEX[name]] for name in ("pitch", "yaw", "roll"))
    pitch, yaw, roll = (column.astype(np.float64) for column in columns)
    x = width / 2 + height * (scene.x + drift[0])
    y = height / 2 + height * (scene.y + drift[1])
    return Pose(pitch, yaw, roll, x, y, np.full(len(times), height / (2 * scene.zoom)))


def _backdrop(identity: Identity, key: tuple[int, ...], size: tuple[int, int]) -> Frames:
    """A wall with a few large soft patches."""
    height, width = size
    rng = generator(*key)
    wall = np.empty((height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    wall[:] = np.rint(identity.backdrop)
    rows, columns = wall.shape[:2]
    for _ in range(3):
        centre = (int(rng.integers(columns)), int(rng.integers(rows)))
        axes = (int(rng.integers(rows // 4, rows)), int(rng.integers(rows // 4, rows)))
        colour = np.clip(identity.backdrop + rng.normal(0, 9, 3) + rng.normal(0, 14), 0, 255)
        cv2.ellipse(wall, centre, axes, float(rng.integers(180)), 0, 360, colour.tolist(), -1)
    for axis in (0, 1):
        wall = _blur(wall, rows // 6, axis)
    # The exact variant: the plain one may round differently on another processor.
    large: Frames = cv2.resize(wall, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    return large


def _blur(picture: Frames, radius: int, axis: int) -> Frames:
    """A box blur along one axis in whole numbers, so that every machine rounds alike."""
    pad = [(0, 0)] * 3
    pad[axis] = (radius + 1, radius)
    total = np.cumsum(np.pad(picture.astype(np.int64), pad, mode="edge"), axis=axis)
    window = 2 * radius + 1
    length = picture.shape[axis]
    high = np.take(total, range(window, window + length), axis=axis)
    low = np.take(total, range(length), axis=axis)
    return ((high - low) // window).astype(np.uint8)


def _light_map(scene: Scene, scale: float, size: tuple[int, int]) -> Frames:
    """Gains in 1/128, twice the picture's size, the head at its centre: uint8[2H, 2W, 3]."""
    height, width = size
    # Light is smooth: a quarter of the resolution is enough, enlarged with exact rounding.
    rows = (np.arange(0, 2 * height, 4)[:, None] + 1.5 - height) / scale
    columns = (np.arange(0, 2 * width, 4)[None, :] + 1.5 - width) / scale
    room = 1 + (scene.light[0] * columns + scene.light[1] * rows) / 3
    distance = columns**2 + (rows / 1.2) ** 2
    head = (scene.key[0] * columns + scene.key[1] * rows) * 1.8 / (1 + distance**2)
    gains = (room + head)[:, :, None] * scene.exposure
    small = np.rint(np.clip(gains * 128, 20, 255)).astype(np.uint8)
    large: Frames = cv2.resize(small, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR_EXACT)
    return large


def _grain(scene: Scene, key: tuple[int, ...], size: tuple[int, int]) -> tuple[Frames, Frames]:
    """Noise to add and noise to take away, each larger than the picture by a margin."""
    shape = (size[0] + _NOISE_MARGIN, size[1] + _NOISE_MARGIN, 3)
    noise = np.rint(generator(*key).normal(0, scene.noise, shape))
    return np.clip(noise, 0, 255).astype(np.uint8), np.clip(-noise, 0, 255).astype(np.uint8)


def _fill(frames: Frames, shapes: list[Shape]) -> None:
    """Paint the shapes over every frame, the first one lowest."""
    layers = [
        (fixed_point(shape.points), np.rint(np.clip(shape.colours, 0, 255)).tolist(), shape.shown) for shape in shapes
    ]
    for number, frame in enumerate(frames):
        for points, colours, shown in layers:
            if shown[number]:
                cv2.fillPoly(frame, [points[number]], colours[number], cv2.LINE_AA, SHIFT)


def _expose(frames: Frames, pose: Pose, light: Frames, grain: tuple[Frames, Frames], rng: np.random.Generator) -> None:
    """Light, colour cast and sensor noise, frame by frame, in place."""
    height, width = frames.shape[1:3]
    corners = rng.integers(0, _NOISE_MARGIN + 1, (len(frames), 2))
    for number, frame in enumerate(frames):
        top = int(np.clip(height - round(float(pose.y[number])), 0, height))
        left = int(np.clip(width - round(float(pose.x[number])), 0, width))
        cv2.multiply(frame, light[top : top + height, left : left + width], frame, 1 / 128)
        row, column = corners[number]
        for noise, apply in zip(grain, (cv2.add, cv2.subtract), strict=True):
            apply(frame, noise[row : row + height, column : column + width], frame)


def paint(
    identity: Identity,
    parameters: NDArray[np.float32],
    times: Array,
    *,
    key: tuple[int, ...],
    size: tuple[int, int],
) -> Clip:
    """Draw a person with facial parameters float32[T, P] at the given seconds.

    `key` names the scene; `size` is (height, width).
    """
    scene = draw_scene((*key, 1))
    pose = _pose(scene, parameters, times, size)
    sitter = Sitter(identity, pose, parameters.astype(np.float64))
    frames = np.repeat(_backdrop(identity, (*key, 2), size)[None], len(times), axis=0)
    _fill(frames, person_shapes(sitter, face_shapes(sitter)))
    light = _light_map(scene, float(pose.scale[0]), size)
    _expose(frames, pose, light, _grain(scene, (*key, 3), size), generator(*key, 4))
    return Clip(frames, parameters, landmarks(sitter).astype(np.float32))


def draw_emotion(
    actor: int,
    emotion: str,
    take: int,
    *,
    seed: int,
    num_frames: int,
    size: tuple[int, int],
    strength: float = 1.0,
    frames: Sequence[int] | None = None,
) -> Clip:
    """An actor shows an emotion; see `draw_clip`. With `frames` only those of the clip's frames are painted."""
    times = clip_times(num_frames)
    chosen = np.arange(num_frames) if frames is None else np.asarray(frames, dtype=np.int64)
    parameters = emotion_parameters(actor, emotion, take, times, seed=seed, strength=strength)
    # The emotions' scenes must neither be shared nor tell them apart: the letters give each a stream of its own.
    key = (seed, actor, 21, *(ord(letter) for letter in emotion[:3]), take)
    return paint(draw_identity(actor, seed=seed), parameters[chosen], times[chosen], key=key, size=size)


def draw_clip(
    actor: int,
    emotion: str,
    take: int,
    *,
    seed: int,
    num_frames: int,
    size: tuple[int, int],
    strength: float = 1.0,
) -> Frames:
    """The frames of an acted clip at 30000/1001 frames a second: uint8[T, H, W, 3] RGB.

    The face rests, moves to the emotion's apex and partly back, while it talks, blinks and moves about. `size` is
    (height, width) in pixels, `strength` scales the expression. The same arguments give the same pixels in every
    process.

    Raises:
        ValueError: the emotion is not one of `expressions.EMOTIONS`.
    """
    clip = draw_emotion(actor, emotion, take, seed=seed, num_frames=num_frames, size=size, strength=strength)
    return clip.frames


def draw_random(actor: int, take: int, *, seed: int, frames: Sequence[int], length: int, size: tuple[int, int]) -> Clip:
    """The numbered frames of a clip of `length` frames with an expression that is no emotion, drawn at random.

    Only these frames are painted; `size` is (height, width) in pixels.
    """
    times = clip_times(length)
    chosen = np.asarray(frames, dtype=np.int64)
    parameters = random_parameters(actor, take, times, seed=seed)[chosen]
    key = (seed, actor, 22, take)
    return paint(draw_identity(actor, seed=seed), parameters, times[chosen], key=key, size=size)
