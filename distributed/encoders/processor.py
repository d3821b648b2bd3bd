"""What an image or video processor's settings ask of pixels, read from their JSON alone.

The library's own fast processors need torchvision. Sizes, crops and clips are the experiment's `views` and `clips`,
the same for every encoder; from these settings come the resolution and the scale of the pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed.encoders.spec import Channels
from distributed.encoders.weights import refusal
from distributed.errors import UserError


@dataclass(frozen=True)
class Pixels:
    """A square of `resolution` pixels whose values, on the scale 0 to 1, are normalised as (x - mean) / std."""

    resolution: int
    mean: Channels
    std: Channels


def read_pixels(path: Path, values: Mapping[str, Any]) -> Pixels:
    """The settings `values` of a processor that were read from `path`; what is not in them is never guessed.

    Raises:
        UserError: an entry is missing, or one that cannot be followed.
    """
    mean: Channels = (0.0, 0.0, 0.0)
    std: Channels = (1.0, 1.0, 1.0)
    if values.get("do_normalize", True):
        mean, std = _channels(path, values, "image_mean"), _channels(path, values, "image_std")
    if min(std) <= 0:
        raise _refused(path, f"image_std is {list(std)}: it has to be above 0")
    factor, offset = _scale(path, values), _offset(values)
    # The processor computes (p * factor - offset - mean) / std of p from 0 to 255.
    red, green, blue = ((offset + value) / factor for value in mean)
    return Pixels(_resolution(path, values), (red, green, blue), (std[0] / factor, std[1] / factor, std[2] / factor))


def _resolution(path: Path, values: Mapping[str, Any]) -> int:
    crop = values.get("crop_size")
    cropped = crop is not None and values.get("do_center_crop", True)
    side = _side(path, "crop_size", crop) if cropped else _side(path, "size", values.get("size"))
    if side < 1:
        raise _refused(path, f"it asks for pictures of {side} pixels")
    return side


def _side(path: Path, key: str, value: Any) -> int:
    """The side of the square that `224`, `{"height": 224, "width": 224}` or `{"shortest_edge": 224}` mean."""
    sides: list[Any] = value if isinstance(value, list) else [value]
    if isinstance(value, Mapping):
        sides = [value[name] for name in ("height", "width", "shortest_edge") if name in value]
    if not sides or sides.count(sides[0]) != len(sides) or type(sides[0]) is not int:
        raise _refused(path, f"{key} is {value!r}: it has to name one square")
    return int(sides[0])


def _scale(path: Path, values: Mapping[str, Any]) -> float:
    """What 255 becomes before the mean is taken off: 1 in most models."""
    if not values.get("do_rescale", True):
        return 255.0
    stated = values.get("rescale_factor", 1 / 255)
    if not isinstance(stated, int | float) or not math.isfinite(stated) or stated <= 0:
        raise _refused(path, f"rescale_factor is {stated!r}: it has to be a number above 0")
    factor = 255 * stated
    return 1.0 if math.isclose(factor, 1.0, rel_tol=1e-9) else factor


def _offset(values: Mapping[str, Any]) -> float:
    """ViViT's processors take 1 off after scaling, unless their settings say that they do not."""
    kinds = (values.get(f"{name}_type") for name in ("video_processor", "image_processor", "feature_extractor"))
    kind = next((str(kind) for kind in kinds if kind), "")
    taken_off = values.get("do_rescale", True) and values.get("offset", kind.startswith("Vivit"))
    return 1.0 if taken_off else 0.0


def _channels(path: Path, values: Mapping[str, Any], key: str) -> Channels:
    value = values.get(key)
    numbers: list[Any] = value if isinstance(value, list) else [value] * 3
    if len(numbers) != 3 or not all(isinstance(x, int | float) and math.isfinite(x) for x in numbers):
        raise _refused(path, f"{key} is {value!r}: it has to be three numbers")
    return (float(numbers[0]), float(numbers[1]), float(numbers[2]))


def _refused(path: Path, reason: str) -> UserError:
    return refusal(path, reason, "Use the settings that were published with the model")
