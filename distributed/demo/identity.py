"""Who is drawn: proportions, skin, hair and clothes of an actor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distributed.demo.expressions import generator

Colour = NDArray[np.float64]

_SKINS = np.array(
    [
        [246, 214, 190],
        [236, 193, 160],
        [222, 171, 132],
        [198, 141, 100],
        [160, 106, 72],
        [116, 76, 52],
        [88, 58, 42],
    ],
    dtype=np.float64,
)
_HAIRS = np.array(
    [[34, 28, 28], [62, 42, 30], [98, 64, 38], [142, 98, 54], [196, 156, 92], [150, 70, 36], [150, 148, 146]],
    dtype=np.float64,
)
_IRISES = np.array([[78, 52, 34], [56, 40, 30], [92, 110, 70], [74, 112, 150], [104, 116, 124]], dtype=np.float64)
HAIR_STYLES: tuple[str, ...] = ("short", "parted", "fringe", "curly", "long", "bun", "buzz")


@dataclass(frozen=True)
class Identity:
    """All that stays the same in every clip of an actor; lengths in face units, colours RGB float64[3]."""

    sex: str  # "Male" or "Female": only hair, beard and proportions follow from it
    age: int  # years
    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    clothes: Colour
    collar: Colour
    backdrop: Colour
    style: str
    hair_volume: float
    hair_side: float  # -1 or 1: where the parting is
    head_width: float
    jaw: float
    chin: float
    ear: float
    eye_distance: float
    eye_y: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    brow_y: float
    brow_thickness: float
    brow_arch: float
    nose_width: float
    nose_length: float
    mouth_y: float
    mouth_width: float
    lip_thickness: float
    beard: float  # 0 none .. 1 full
    moustache: bool
    glasses: bool
    shoulder: float
    skew: float  # -1 .. 1: which side of the mouth and brows moves more


def _between(rng: np.random.Generator, palette: Colour) -> Colour:
    """A colour somewhere between two neighbours of a palette."""
    position = (len(palette) - 1) * rng.beta(1.0, 1.3)
    low = int(position)
    share = position - low
    colour: Colour = palette[low] * (1 - share) + palette[min(low + 1, len(palette) - 1)] * share
    return colour


def _vivid(rng: np.random.Generator, low: float, high: float, spread: float) -> Colour:
    """A random colour of limited saturation."""
    grey = rng.uniform(low, high)
    return np.clip(grey + rng.normal(0, spread, 3), 20, 245)


def _hair(rng: np.random.Generator, female: bool, skin: Colour, age: int) -> tuple[Colour, str]:
    dark_only = skin.sum() < 400
    palette = _HAIRS[: 3 if dark_only else 6]
    colour = palette[rng.integers(len(palette))] * rng.uniform(0.85, 1.15)
    if age > 52:
        colour = 0.5 * colour + 0.5 * _HAIRS[6]
    styles = ("long", "bun", "fringe", "curly", "parted") if female else ("short", "parted", "fringe", "curly", "buzz")
    return np.clip(colour, 0, 255), str(styles[rng.integers(len(styles))])


def draw_identity(actor: int, *, seed: int) -> Identity:
    """The looks of an actor, from two integers. As in RAVDESS odd actors are male and even ones female."""
    rng = generator(seed, actor, 1)
    female = actor % 2 == 0
    age = int(rng.integers(20, 65))
    skin = _between(rng, _SKINS)
    hair, style = _hair(rng, female, skin, age)
    beard = 0.0 if female or rng.random() < 0.6 else float(rng.uniform(0.3, 1.0))
    return Identity(
        sex="Female" if female else "Male",
        age=age,
        skin=skin,
        hair=hair,
        iris=_IRISES[rng.integers(2 if skin.sum() < 400 else len(_IRISES))],
        lips=0.62 * skin + 0.38 * np.array([176.0, 62.0, 70.0]) * rng.uniform(0.75, 1.1),
        clothes=_vivid(rng, 40, 200, 30),
        collar=_vivid(rng, 60, 230, 22),
        backdrop=_vivid(rng, 110, 215, 11),
        style=style,
        hair_volume=float(rng.uniform(0.05, 0.2)),
        hair_side=1.0 if rng.random() < 0.5 else -1.0,
        head_width=float(rng.uniform(0.72, 0.82) - 0.02 * female),
        jaw=float(rng.uniform(0.84, 1.0) - 0.06 * female),
        chin=float(rng.uniform(0.96, 1.06)),
        ear=float(rng.uniform(0.85, 1.2)),
        eye_distance=float(rng.uniform(0.32, 0.375)),
        eye_y=float(rng.uniform(-0.12, -0.04)),
        eye_width=float(rng.uniform(0.18, 0.215)),
        eye_height=float(rng.uniform(0.085, 0.11) + 0.008 * female),
        eye_tilt=float(rng.uniform(-0.02, 0.04)),
        brow_y=float(rng.uniform(-0.36, -0.3)),
        brow_thickness=float(rng.uniform(0.024, 0.05) - 0.006 * female),
        brow_arch=float(rng.uniform(0.02, 0.08)),
        nose_width=float(rng.uniform(0.115, 0.17)),
        nose_length=float(rng.uniform(0.26, 0.34)),
        mouth_y=float(rng.uniform(0.53, 0.6)),
        mouth_width=float(rng.uniform(0.28, 0.35)),
        lip_thickness=float(rng.uniform(0.03, 0.065) + 0.008 * female),
        beard=beard,
        moustache=beard > 0.0 and bool(rng.random() < 0.6),
        glasses=bool(rng.random() < 0.16),
        shoulder=float(rng.uniform(1.35, 1.65) - 0.15 * female),
        skew=float(np.clip(rng.normal(0, 0.35), -1, 1)),
    )
