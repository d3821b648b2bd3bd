"""RandAugment's fifteen operations on whole clips, as batched tensor operations on any device. torch alone.

Cubuk et al., 2019 (arXiv 1909.13719), in the variant that V-JEPA's probing recipe names `rand-m7-n4-mstd0.5-inc1`:
operations drawn with replacement, each applied with probability one half, at a strength that is drawn once for all
frames of a clip. The pixels are those that Pillow would give: every operation rounds to uint8 as Pillow does.
Frames are uint8[T, 3, H, W].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_FILL = 128  # what comes into the picture from outside of it
_PROBABILITY = 0.5
_FRAMES_AT_ONCE = 8  # in an affine operation, which needs some twenty times a frame's memory in double precision
_MOST = 10.0  # the strength at which an operation is at the end of its range


@dataclass(frozen=True)
class Operation:
    """One drawn operation; `amount` is in its own unit (degrees, bits, a share), unused by those that have none."""

    name: str
    amount: float = 0.0

    def __call__(self, frames: Tensor) -> Tensor:
        return OPERATIONS[self.name][0](frames, self.amount)


def draw_operations(rng: np.random.Generator, *, magnitude: float, std: float, count: int) -> list[Operation]:
    """The operations of one clip, in order; those that chance leaves out are not among them."""
    names = list(OPERATIONS)
    drawn = []
    for name in [names[number] for number in rng.integers(len(names), size=count)]:
        # All three are drawn every time, so that one outcome does not shift the next operation's.
        applied, level, sign = rng.random(), rng.normal(magnitude, std), rng.choice([-1.0, 1.0])
        if applied < _PROBABILITY:
            strength = min(_MOST, max(0.0, level)) / _MOST
            drawn.append(Operation(name, OPERATIONS[name][1](strength, sign)))
    return drawn


def _autocontrast(frames: Tensor, _: float) -> Tensor:
    """Every channel of every frame stretched from its darkest and brightest value to 0 and 255."""
    flat = frames.flatten(2)
    low, high = flat.amin(-1).double(), flat.amax(-1).double()
    scale = torch.full_like(low, 255) / (high - low).clamp(min=1)  # a number over a tensor would be its reciprocal
    table = torch.arange(256, device=frames.device) * scale[..., None] - (low * scale)[..., None]
    same = (high <= low)[..., None]
    return _looked_up(frames, torch.where(same, _identity(frames), table.clamp(0, 255)))


def _equalize(frames: Tensor, _: float) -> Tensor:
    """A flat histogram of every channel of every frame."""
    planes = frames.shape[0] * frames.shape[1]
    offsets = 256 * torch.arange(planes, device=frames.device)[:, None]
    counts = torch.bincount((frames.reshape(planes, -1) + offsets).flatten(), minlength=256 * planes).view(planes, 256)
    brightest = 255 - counts.flip(1).gt(0).int().argmax(dim=1, keepdim=True)
    step = (counts.sum(1, keepdim=True) - counts.gather(1, brightest)) // 255
    before = counts.cumsum(1) - counts
    table = ((step // 2 + before) // step.clamp(min=1)).clamp(max=255)
    table = torch.where(step == 0, torch.arange(256, device=frames.device), table)
    return _looked_up(frames, table.view(*frames.shape[:2], 256))


def _invert(frames: Tensor, _: float) -> Tensor:
    return 255 - frames


def _posterize(frames: Tensor, bits: float) -> Tensor:
    return frames & (256 - (1 << (8 - int(bits))))


def _solarize(frames: Tensor, threshold: float) -> Tensor:
    return torch.where(frames.int() < int(threshold), frames, 255 - frames)


def _solarize_add(frames: Tensor, amount: float) -> Tensor:
    brighter = (frames.int() + int(amount)).clamp(max=255).to(torch.uint8)
    return torch.where(frames < 128, brighter, frames)


def _color(frames: Tensor, factor: float) -> Tensor:
    return _blended(_grey(frames), frames, factor)


def _contrast(frames: Tensor, factor: float) -> Tensor:
    mean = (_grey(frames).double().mean(dim=(1, 2, 3), keepdim=True) + 0.5).floor()
    return _blended(mean, frames, factor)


def _brightness(frames: Tensor, factor: float) -> Tensor:
    return _blended(torch.zeros_like(frames[:, :, :1, :1]), frames, factor)


def _sharpness(frames: Tensor, factor: float) -> Tensor:
    """Against the frame smoothed with weights 1 and, in the middle, 5; the outermost pixels are not smoothed."""
    smooth = frames.clone()
    if min(frames.shape[-2:]) >= 3:
        wide = frames.int()
        rows = wide[..., :-2, :] + wide[..., 1:-1, :] + wide[..., 2:, :]
        total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * wide[..., 1:-1, 1:-1]
        smooth[..., 1:-1, 1:-1] = ((2 * total + 13) // 26).to(torch.uint8)
    return _blended(smooth, frames, factor)


def _rotate(frames: Tensor, degrees: float) -> Tensor:
    angle, (height, width) = -math.radians(degrees), frames.shape[-2:]
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
    x, y = width / 2, height / 2
    return _transformed(frames, (cos, sin, x - cos * x - sin * y), (-sin, cos, y + sin * x - cos * y))


def _shear_x(frames: Tensor, share: float) -> Tensor:
    return _transformed(frames, (1, share, 0), (0, 1, 0))


def _shear_y(frames: Tensor, share: float) -> Tensor:
    return _transformed(frames, (1, 0, 0), (share, 1, 0))


def _translate_x(frames: Tensor, share: float) -> Tensor:
    return _transformed(frames, (1, 0, share * frames.shape[-1]), (0, 1, 0))


def _translate_y(frames: Tensor, share: float) -> Tensor:
    return _transformed(frames, (1, 0, 0), (0, 1, share * frames.shape[-2]))


def _identity(frames: Tensor) -> Tensor:
    return torch.arange(256, dtype=torch.float64, device=frames.device).expand(*frames.shape[:2], 256)


def _looked_up(frames: Tensor, table: Tensor) -> Tensor:
    """Each value's entry in the table [T, 3, 256] of its plane, cut to a whole number."""
    return table.to(torch.uint8).gather(2, frames.flatten(2).long()).view_as(frames)


def _grey(frames: Tensor) -> Tensor:
    """Luma (ITU-R 601) in 16-bit fixed point, uint8[T, 1, H, W]."""
    red, green, blue = torch.split(frames.int(), 1, dim=1)
    luma: Tensor = 19595 * red + 38470 * green + 7471 * blue + 0x8000
    return (luma >> 16).to(torch.uint8)


def _blended(zero: Tensor, one: Tensor, factor: float) -> Tensor:
    """From `zero` at factor 0 to `one` at factor 1 and beyond."""
    start = zero.float()
    return (start + (one.float() - start) * factor).clamp(0, 255).to(torch.uint8)


def _transformed(frames: Tensor, along_x: tuple[float, float, float], along_y: tuple[float, float, float]) -> Tensor:
    """Each output pixel read by Pillow's bicubic filter at an affine function of its place.

    The cubic has the slope parameter -1, where torch's own has -0.75.
    """
    height, width = frames.shape[-2:]
    centres = [torch.arange(n, dtype=torch.float64, device=frames.device) + 0.5 for n in (height, width)]
    y, x = torch.meshgrid(*centres, indexing="ij")
    at_x = along_x[0] * x + along_x[1] * y + along_x[2]
    at_y = along_y[0] * x + along_y[1] * y + along_y[2]
    inside = (at_x >= 0) & (at_x < width) & (at_y >= 0) & (at_y < height)
    left, top = (at_x - 0.5).floor(), (at_y - 0.5).floor()
    # In double precision, as in Pillow: a value just below a whole number is cut to the one below.
    dx, dy = ((at - 0.5 - whole).flatten()[:, None] for at, whole in ((at_x, left), (at_y, top)))
    rows, columns = (
        [(start + step).clamp(0, size - 1).long().flatten() for step in range(-1, 3)]
        for start, size in ((top, height), (left, width))
    )
    # Where columns or rows are met exactly there is nothing to mix.
    mix_x, mix_y = bool(dx.any()), bool(dy.any())
    outside = ~inside.flatten()[:, None]

    def read(pixels: Tensor, row: Tensor) -> Tensor:
        """What a row gives at every place, float64[H * W, planes]."""
        found = [pixels.index_select(0, row * width + at).double() for at in (columns if mix_x else columns[1:2])]
        return _cubic(found, dx) if mix_x else found[0]

    parts = []
    for part in torch.split(frames, _FRAMES_AT_ONCE):
        pixels = part.flatten(0, 1).flatten(1).T.contiguous()  # all frames' values of a pixel side by side
        values = _cubic([read(pixels, row) for row in rows], dy) if mix_y else read(pixels, rows[1])
        values = values.clamp_(0, 255).to(torch.uint8).masked_fill_(outside, _FILL)
        parts.append(values.T.reshape(part.shape))
    return torch.cat(parts)


def _cubic(points: list[Tensor], d: Tensor) -> Tensor:
    """The cubic through four equally spaced points, at the share `d` of the way from the second to the third."""
    a, b, c, e = points
    curve = (-a + b - c).add_(e).mul_(d).add_(2 * (a - b)).add_(c).sub_(e)
    return curve.mul_(d).add_(c).sub_(a).mul_(d).add_(b)


def _none(_: float, __: float) -> float:
    return 0.0


def _factor(strength: float, sign: float) -> float:
    return 1 + sign * 0.9 * strength


# What an operation does, and its amount at a strength of 0 to 1 and a sign; a picture suffers more from more strength.
OPERATIONS: dict[str, tuple[Callable[[Tensor, float], Tensor], Callable[[float, float], float]]] = {
    "autocontrast": (_autocontrast, _none),
    "equalize": (_equalize, _none),
    "invert": (_invert, _none),
    "rotate": (_rotate, lambda strength, sign: 30 * strength * sign),
    "posterize": (_posterize, lambda strength, _: 4 - int(4 * strength)),
    "solarize": (_solarize, lambda strength, _: 256 - int(256 * strength)),
    "solarize_add": (_solarize_add, lambda strength, _: int(110 * strength)),
    "color": (_color, _factor),
    "contrast": (_contrast, _factor),
    "brightness": (_brightness, _factor),
    "sharpness": (_sharpness, _factor),
    "shear_x": (_shear_x, lambda strength, sign: 0.3 * strength * sign),
    "shear_y": (_shear_y, lambda strength, sign: 0.3 * strength * sign),
    "translate_x": (_translate_x, lambda strength, sign: 0.45 * strength * sign),
    "translate_y": (_translate_y, lambda strength, sign: 0.45 * strength * sign),
}
