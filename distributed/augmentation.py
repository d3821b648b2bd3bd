"""Augmented training passes: what V-JEPA's probing recipe does to a training clip, seeded by video and pass.

`make_transforms(training=True)` of `evals/video_classification_frozen` in facebookresearch/jepa, restated: every
clip on its own gets RandAugment, then a random resized crop and, after normalisation, a rectangle of noise. Nothing
is flipped. One thing differs: there a frame is augmented at the size of its file, here at the size that frames are
resized to for the clean pass, so that a small crop is enlarged from fewer pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distributed.clips import pass_seed
from distributed.randaugment import draw_operations

_CROP_TRIES, _ERASE_TRIES = 10, 100
_ERASED_AREA, _ERASED_RATIO = (0.02, 1 / 3), (0.3, 1 / 0.3)
PUBLISHED_AREA, PUBLISHED_RATIO = (0.08, 1.0), (0.75, 4 / 3)


@dataclass(frozen=True)
class AugmentationConfig:
    """How strongly training passes are augmented; the defaults are the published recipe's.

    `randaugment_magnitude` (0 to 10), its deviation from clip to clip and the operations drawn for a clip (0: none);
    `crop_area`: share of the frame that a crop covers, and `crop_ratio`, width over height, from and to; `erasing`:
    probability of a rectangle of noise; `seed`: another one gives other passes.

    Raises ValueError for values out of range.
    """

    randaugment_magnitude: float = 7.0
    randaugment_std: float = 0.5
    randaugment_ops: int = 4
    crop_area: tuple[float, float] = PUBLISHED_AREA
    crop_ratio: tuple[float, float] = PUBLISHED_RATIO
    erasing: float = 0.25
    seed: int = 0

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if not 0 <= self.randaugment_magnitude <= 10:
            raise ValueError(f"randaugment_magnitude is {self.randaugment_magnitude}; it must be from 0 to 10")
        if self.randaugment_std < 0 or self.randaugment_ops < 0 or self.seed < 0:
            raise ValueError("randaugment_std, randaugment_ops and seed must not be negative")
        if not 0 < self.crop_area[0] <= self.crop_area[1] <= 1:
            raise ValueError(f"crop_area is {list(self.crop_area)}; it must be two shares of a frame, smaller first")
        if not 0 < self.crop_ratio[0] <= self.crop_ratio[1]:
            raise ValueError(f"crop_ratio is {list(self.crop_ratio)}; it must be two ratios above 0, smaller first")
        if not 0 <= self.erasing <= 1:
            raise ValueError(f"erasing is {self.erasing}; it must be a probability, from 0 to 1")


@dataclass(frozen=True)
class Rectangle:
    """In pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, frames: Tensor) -> Tensor:
        """That part of frames [..., H, W]."""
        return frames[..., self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True)
class PassMaker:
    """Makes the clips of augmented passes; `mean` and `std` belong to the channels on the scale 0 to 1."""

    config: AugmentationConfig
    resolution: int
    mean: Sequence[float]
    std: Sequence[float]

    def clips(self, frames: Tensor, clips: Tensor, *, video_id: str, number: int) -> Tensor:
        """Pass `number` of a video, normalised: float32[S, 3, T, R, R] of the frames' device, R = `resolution`.

        `frames` is uint8[F, H, W, 3], resized; `clips` int64[S, T] holds numbers of these F frames. The random
        numbers follow from the seed, the video's id and the number alone, whatever the device.
        """
        rng = np.random.default_rng(pass_seed(self.config.seed, video_id, number, "pixels"))
        return torch.stack([self._clip(frames[clip.to(frames.device)], rng) for clip in clips])

    def _clip(self, frames: Tensor, rng: np.random.Generator) -> Tensor:
        """uint8[T, H, W, 3] -> float32[3, T, R, R]."""
        config, size = self.config, (self.resolution, self.resolution)
        pixels = frames.permute(0, 3, 1, 2).contiguous()
        for operation in draw_operations(
            rng, magnitude=config.randaugment_magnitude, std=config.randaugment_std, count=config.randaugment_ops
        ):
            pixels = operation(pixels)
        crop = draw_crop(rng, pixels.shape[-2], pixels.shape[-1], config.crop_area, config.crop_ratio)
        normalised = self._normalised(crop.of(pixels))
        out = F.interpolate(normalised, size=size, mode="bilinear", align_corners=False)
        if rng.random() < config.erasing:
            _erase(out, rng)
        return out.transpose(0, 1)

    def _normalised(self, pixels: Tensor) -> Tensor:
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=pixels.device).view(3, 1, 1)
            for values in (self.mean, self.std)
        )
        return (pixels.float() / 255 - mean) / std


def draw_crop(
    rng: np.random.Generator, height: int, width: int, area: tuple[float, float], ratio: tuple[float, float]
) -> Rectangle:
    """A random part of a frame: its area uniform, its ratio uniform in the logarithm.

    Where ten draws do not fit into the frame, the largest middle part whose ratio is allowed.
    """
    for _ in range(_CROP_TRIES):
        wanted = rng.uniform(*area) * height * width
        shape = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        wide, high = round(math.sqrt(wanted * shape)), round(math.sqrt(wanted / shape))
        if 0 < wide <= width and 0 < high <= height:
            return Rectangle(_start(rng, height - high), _start(rng, width - wide), high, wide)
    high, wide = height, width
    if width / height < ratio[0]:
        high = round(width / ratio[0])
    elif width / height > ratio[1]:
        wide = round(height * ratio[1])
    return Rectangle((height - high) // 2, (width - wide) // 2, high, wide)


def draw_erased(rng: np.random.Generator, height: int, width: int) -> Rectangle | None:
    """The rectangle that noise replaces; none in the rare case that no draw fits."""
    for _ in range(_ERASE_TRIES):
        wanted = rng.uniform(*_ERASED_AREA) * height * width
        shape = math.exp(rng.uniform(math.log(_ERASED_RATIO[0]), math.log(_ERASED_RATIO[1])))
        high, wide = round(math.sqrt(wanted * shape)), round(math.sqrt(wanted / shape))
        if wide < width and high < height:
            return Rectangle(_start(rng, height - high), _start(rng, width - wide), high, wide)
    return None


def _erase(frames: Tensor, rng: np.random.Generator) -> None:
    """Normal noise, other in every frame, in one place of all frames of a normalised clip [T, 3, R, R]."""
    place = draw_erased(rng, frames.shape[-2], frames.shape[-1])
    if place is not None:
        noise = rng.standard_normal((*frames.shape[:2], place.height, place.width), dtype=np.float32)
        place.of(frames).copy_(torch.from_numpy(noise))


def _start(rng: np.random.Generator, most: int) -> int:
    return int(rng.integers(most + 1))
