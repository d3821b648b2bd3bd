"""How a drawn face moves: facial parameters over time, for an emotion or for no emotion at all.

A facial parameter is a number relative to the actor's resting face. Every curve is computed for all frames of a
clip at once, from explicit integers, so that the same call gives the same numbers in every process.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FRAME_RATE = 30000 / 1001

PARAMETERS: tuple[str, ...] = (
    "brow_inner",  # -1 lowered .. 1 raised
    "brow_outer",  # -1 lowered .. 1 raised
    "brow_furrow",  # 0 .. 1 drawn together
    "upper_lid",  # -1 closed .. 1 wide open
    "lower_lid",  # 0 .. 1 tightened
    "mouth_corner",  # -1 pulled down .. 1 pulled up
    "mouth_open",  # 0 .. 1 jaw dropped
    "mouth_width",  # -1 puckered .. 1 stretched
    "upper_lip",  # 0 .. 1 raised
    "lower_lip",  # -1 pressed .. 1 pushed out
    "nose_wrinkle",  # 0 .. 1
    "gaze_x",  # -1 .. 1 to the right of the picture
    "gaze_y",  # -1 .. 1 downwards
    "pitch",  # radians, positive bows the head
    "yaw",  # radians, positive turns to the right of the picture
    "roll",  # radians, positive tilts to the right of the picture
)
INDEX = {name: number for number, name in enumerate(PARAMETERS)}
_LOW = np.array([-1, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, -1, -0.35, -0.3, -0.3])
_HIGH = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0.35, 0.3, 0.3])

EMOTIONS: tuple[str, ...] = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")

# Two manners of showing each emotion; every actor has a habit between the two.
_TARGETS: dict[str, tuple[dict[str, float], dict[str, float]]] = {
    "neutral": ({}, {"lower_lip": -0.1}),
    "calm": (
        {"mouth_corner": 0.3, "upper_lid": -0.25, "brow_inner": 0.1},
        {"mouth_corner": 0.15, "upper_lid": -0.4, "lower_lip": 0.1, "gaze_y": 0.2},
    ),
    "happy": (
        {"mouth_corner": 0.9, "mouth_width": 0.7, "mouth_open": 0.25, "upper_lip": 0.4, "lower_lid": 0.7},
        {"mouth_corner": 0.8, "mouth_width": 0.5, "lower_lid": 0.5, "brow_outer": 0.2, "upper_lid": -0.1},
    ),
    "sad": (
        {"brow_inner": 0.7, "brow_outer": -0.4, "brow_furrow": 0.3, "upper_lid": -0.4, "mouth_corner": -0.7,
         "lower_lip": 0.4, "gaze_y": 0.5, "pitch": 0.1},
        {"brow_inner": 0.5, "brow_outer": -0.3, "upper_lid": -0.5, "mouth_corner": -0.5, "mouth_width": -0.2,
         "lower_lip": -0.2, "gaze_y": 0.6, "pitch": 0.14, "lower_lid": 0.2},
    ),
    "angry": (
        {"brow_inner": -0.9, "brow_furrow": 0.9, "upper_lid": 0.3, "lower_lid": 0.6, "mouth_corner": -0.35,
         "lower_lip": -0.7, "mouth_width": -0.1, "pitch": 0.06},
        {"brow_inner": -0.8, "brow_outer": 0.2, "brow_furrow": 0.8, "upper_lid": 0.4, "lower_lid": 0.5,
         "mouth_corner": -0.4, "mouth_open": 0.3, "upper_lip": 0.4, "mouth_width": 0.25, "nose_wrinkle": 0.3},
    ),
    "fearful": (
        {"brow_inner": 0.8, "brow_outer": 0.3, "brow_furrow": 0.5, "upper_lid": 0.8, "lower_lid": 0.35,
         "mouth_width": 0.5, "mouth_open": 0.3, "mouth_corner": -0.4, "pitch": -0.05},
        {"brow_inner": 0.7, "brow_outer": 0.1, "brow_furrow": 0.6, "upper_lid": 0.7, "lower_lid": 0.2,
         "mouth_width": 0.3, "mouth_open": 0.15, "mouth_corner": -0.5, "lower_lip": -0.2, "gaze_x": 0.3},
    ),
    "disgust": (
        {"brow_inner": -0.55, "brow_outer": -0.2, "brow_furrow": 0.4, "upper_lid": -0.4, "lower_lid": 0.6,
         "nose_wrinkle": 0.9, "upper_lip": 0.8, "mouth_corner": -0.5, "pitch": -0.06},
        {"brow_inner": -0.4, "brow_furrow": 0.3, "upper_lid": -0.35, "lower_lid": 0.4, "nose_wrinkle": 0.7,
         "upper_lip": 0.5, "mouth_corner": -0.3, "mouth_open": 0.15, "lower_lip": 0.5, "yaw": 0.08},
    ),
    "surprised": (
        {"brow_inner": 0.8, "brow_outer": 0.9, "upper_lid": 0.8, "mouth_open": 0.75, "mouth_width": -0.3},
        {"brow_inner": 0.7, "brow_outer": 0.8, "upper_lid": 0.7, "mouth_open": 0.45, "mouth_width": -0.1,
         "mouth_corner": 0.15, "pitch": -0.05},
    ),
}  # fmt: skip

# How much actors and clips differ: these numbers set how hard the demo is.
_HABIT_NOISE, _CLIP_NOISE, _REST_NOISE = 0.10, 0.12, 0.05


def generator(*key: int) -> np.random.Generator:
    """A random stream named by integers, the same in every process and on every machine."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def clip_times(num_frames: int, frame_step: int = 1) -> Array:
    """Seconds of every `frame_step`-th frame from the start: float64[T]."""
    return np.arange(num_frames, dtype=np.float64) * (frame_step / FRAME_RATE)


def _vector(values: dict[str, float]) -> Array:
    target = np.zeros(len(PARAMETERS))
    for name, value in values.items():
        target[INDEX[name]] = value
    return target


def emotion_target(actor: int, emotion: str, take: int, *, seed: int, strength: float) -> Array:
    """The apex of one clip, float64[P]: the emotion in the actor's manner, and a variation of this take."""
    number = EMOTIONS.index(emotion)
    habit = generator(seed, actor, 11, number)
    first, second = (_vector(values) for values in _TARGETS[emotion])
    mixture = habit.beta(0.6, 0.6)
    target = mixture * first + (1 - mixture) * second
    intensity = habit.uniform(0.6, 1.05) * strength
    personal = habit.normal(0, _HABIT_NOISE, len(PARAMETERS))
    clip = generator(seed, actor, 12, number, take)
    intensity *= clip.uniform(0.6, 1.1)
    noise = personal + clip.normal(0, _CLIP_NOISE, len(PARAMETERS))
    noise[INDEX["pitch"] :] *= 0.3
    if emotion != "neutral" and clip.random() < 0.5:
        target[[INDEX["gaze_x"], INDEX["yaw"]]] *= -1
    return target * intensity + noise


def _random_target(rng: np.random.Generator) -> Array:
    """A point of the parameter space that no emotion had a say in: every parameter drawn on its own."""
    target = rng.uniform(_LOW, _HIGH) * rng.uniform(0.5, 1.0)
    return np.where(rng.random(len(PARAMETERS)) < 0.65, target, 0.0)


def _smooth_step(times: Array, start: float, length: float) -> Array:
    phase = np.clip((times - start) / length, 0, 1)
    return phase * phase * (3 - 2 * phase)


def _envelope(rng: np.random.Generator, times: Array, duration: float) -> Array:
    """Rest, onset, apex and a partial release: float64[T] in [0, 1]."""
    onset = _smooth_step(times, rng.uniform(0.02, 0.3) * duration, rng.uniform(0.15, 0.6))
    release = _smooth_step(times, rng.uniform(0.65, 0.95) * duration, rng.uniform(0.3, 0.7))
    return onset * (1 - rng.uniform(0.1, 0.7) * release)


def _waves(rng: np.random.Generator, times: Array, fastest: float, count: int = 3) -> Array:
    """A smooth random curve of about unit variance: float64[T]; `fastest` in hertz."""
    frequencies = rng.uniform(0.15 * fastest, fastest, count)
    phases = rng.uniform(0, 2 * np.pi, count)
    weights = rng.uniform(0.5, 1.0, count)
    waves = np.sin(2 * np.pi * frequencies * times[:, None] + phases) * weights
    total: Array = waves.sum(axis=1) * (np.sqrt(2) / np.sqrt((weights**2).sum()))
    return total


def _speak(rng: np.random.Generator, times: Array, duration: float, curves: Array) -> None:
    """Syllables: the jaw drops and the lips round and spread while a sentence is spoken."""
    start, end = rng.uniform(0.05, 0.3) * duration, rng.uniform(0.7, 0.98) * duration
    voiced = _smooth_step(times, start, 0.1) * (1 - _smooth_step(times, end, 0.1))
    syllables = np.maximum(0, 0.35 + 0.65 * _waves(rng, times, rng.uniform(3.0, 5.5)))
    loudness = rng.uniform(0.1, 0.42)
    curves[:, INDEX["mouth_open"]] += loudness * voiced * syllables
    curves[:, INDEX["mouth_width"]] += 0.35 * loudness * voiced * _waves(rng, times, 2.5) * 2
    curves[:, INDEX["lower_lip"]] += 0.4 * loudness * voiced * _waves(rng, times, 3.0)


def _blink(rng: np.random.Generator, times: Array, duration: float, curves: Array) -> None:
    for _ in range(rng.integers(0, 3)):
        centre, length = rng.uniform(0, duration), rng.uniform(0.07, 0.12)
        closed = np.exp(-(((times - centre) / length) ** 2))
        lid = curves[:, INDEX["upper_lid"]]
        curves[:, INDEX["upper_lid"]] = lid + (-1.1 - lid) * closed


def _move_head(rng: np.random.Generator, times: Array, curves: Array) -> None:
    for name, pose, motion in (("pitch", 0.07, 0.04), ("yaw", 0.08, 0.05), ("roll", 0.05, 0.03)):
        curves[:, INDEX[name]] += rng.normal(0, pose) + motion * _waves(rng, times, 0.9)
    for name in ("gaze_x", "gaze_y"):
        curves[:, INDEX[name]] += rng.normal(0, 0.12) + 0.1 * _waves(rng, times, 0.6)


def _animate(rng: np.random.Generator, target: Array, times: Array, duration: float) -> NDArray[np.float32]:
    rest = rng.normal(0, _REST_NOISE, len(PARAMETERS))
    rest[INDEX["pitch"] :] = 0.0
    drift = np.stack([_waves(rng, times, 1.5) for _ in PARAMETERS], axis=1)
    drift[:, INDEX["pitch"] :] = 0.0
    curves = rest + target * _envelope(rng, times, duration)[:, None] + 0.03 * drift
    _speak(rng, times, duration, curves)
    _move_head(rng, times, curves)
    _blink(rng, times, duration, curves)
    return np.clip(curves, _LOW, _HIGH).astype(np.float32)


def emotion_parameters(
    actor: int, emotion: str, take: int, times: Array, *, seed: int, strength: float = 1.0
) -> NDArray[np.float32]:
    """The facial parameters of an acted clip at the given seconds: float32[T, P]; all of it seeded.

    The talking, blinking and head motion come from a stream in which the emotion only selects a seed, so they
    say nothing about it.

    Raises:
        ValueError: the emotion is not one of EMOTIONS.
    """
    if emotion not in EMOTIONS:
        raise ValueError(f"emotion {emotion!r} is unknown; choose one of {', '.join(EMOTIONS)}")
    target = emotion_target(actor, emotion, take, seed=seed, strength=strength)
    rng = generator(seed, actor, 13, EMOTIONS.index(emotion), take)
    return _animate(rng, target, times, float(times[-1]))


def random_parameters(actor: int, take: int, times: Array, *, seed: int) -> NDArray[np.float32]:
    """Facial parameters that show no emotion but any expression whatever: float32[T, P]."""
    rng = generator(seed, actor, 14, take)
    return _animate(rng, _random_target(rng), times, float(times[-1]))
