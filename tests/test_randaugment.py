"""RandAugment against Pillow, operation by operation, and what is drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from distributed.randaugment import OPERATIONS, Operation, draw_operations

Picture = Image.Image
BICUBIC = Image.Resampling.BICUBIC
FILL = (128, 128, 128)


def affine(picture: Picture, data: tuple[float, ...]) -> Picture:
    return picture.transform(picture.size, Image.Transform.AFFINE, data, resample=BICUBIC, fillcolor=FILL)


def solarize_add(picture: Picture, amount: float) -> Picture:
    return picture.point([min(255, i + int(amount)) if i < 128 else i for i in range(256)] * 3)


PILLOW: dict[str, Callable[[Picture, float], Picture]] = {
    "autocontrast": lambda p, _: ImageOps.autocontrast(p),
    "equalize": lambda p, _: ImageOps.equalize(p),
    "invert": lambda p, _: ImageOps.invert(p),
    "rotate": lambda p, v: p.rotate(v, resample=BICUBIC, fillcolor=FILL),
    # Today's Pillow refuses to keep no bit; the version of the reference gave black.
    "posterize": lambda p, v: ImageOps.posterize(p, int(v)) if v else p.point([0] * 768),
    "solarize": lambda p, v: ImageOps.solarize(p, int(v)),
    "solarize_add": solarize_add,
    "color": lambda p, v: ImageEnhance.Color(p).enhance(v),
    "contrast": lambda p, v: ImageEnhance.Contrast(p).enhance(v),
    "brightness": lambda p, v: ImageEnhance.Brightness(p).enhance(v),
    "sharpness": lambda p, v: ImageEnhance.Sharpness(p).enhance(v),
    "shear_x": lambda p, v: affine(p, (1, v, 0, 0, 1, 0)),
    "shear_y": lambda p, v: affine(p, (1, 0, 0, v, 1, 0)),
    "translate_x": lambda p, v: affine(p, (1, 0, v * p.size[0], 0, 1, 0)),
    "translate_y": lambda p, v: affine(p, (1, 0, 0, 0, 1, v * p.size[1])),
}
# Single-precision weights of the bicubic filter may fall on the other side of a whole number.
INTERPOLATED = {"rotate", "shear_x", "shear_y", "translate_x", "translate_y"}


def pictures(height: int, width: int) -> Tensor:
    """Noise, a smooth picture of few values, a picture of one colour, and one with a channel that is empty."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (3, height, width), generator=generator)
    ramp = (torch.arange(width)[None, None, :] * torch.tensor([1, 2, 3])[:, None, None] // 2 + 20).expand_as(noise)
    flat = torch.tensor([17, 130, 255])[:, None, None].expand_as(noise)
    empty = noise // 3 * torch.tensor([1, 0, 2])[:, None, None]
    return torch.stack([noise, ramp, flat, empty]).clamp(0, 255).to(torch.uint8)


def by_pillow(name: str, amount: float, frames: Tensor) -> Tensor:
    found = [PILLOW[name](Image.fromarray(frame.permute(1, 2, 0).numpy()), amount) for frame in frames]
    return torch.stack([torch.from_numpy(np.array(picture)).permute(2, 0, 1) for picture in found])


def test_the_operations_are_the_fifteen_of_the_reference() -> None:
    assert list(OPERATIONS) == list(PILLOW)


@pytest.mark.parametrize("name", PILLOW)
@pytest.mark.parametrize("size", [(45, 80), (32, 32), (67, 51)])
def test_every_operation_gives_the_pixels_of_pillow(name: str, size: tuple[int, int]) -> None:
    frames = pictures(*size)
    before = frames.clone()
    for strength in (0.0, 0.31, 0.7, 0.737, 1.0):
        for sign in (-1.0, 1.0):
            amount = OPERATIONS[name][1](strength, sign)
            found, expected = Operation(name, amount)(frames), by_pillow(name, amount, frames)
            assert found.dtype == torch.uint8 and torch.equal(frames, before)
            difference = (found.int() - expected.int()).abs()
            assert int(difference.max()) <= (1 if name in INTERPOLATED else 0), (amount, int(difference.max()))
            assert float((difference > 0).double().mean()) < 1e-3


@pytest.mark.parametrize(
    ("name", "amounts"),
    [
        ("rotate", (-21.0, 21.0)),
        ("posterize", (2, 2)),
        ("solarize", (77, 77)),
        ("solarize_add", (77, 77)),
        ("color", (0.37, 1.63)),
        ("shear_y", (-0.21, 0.21)),
        ("translate_x", (-0.315, 0.315)),
    ],
)
def test_the_published_strength_is_the_published_amount(name: str, amounts: tuple[float, float]) -> None:
    assert [OPERATIONS[name][1](0.7, sign) for sign in (-1.0, 1.0)] == pytest.approx(amounts)


def test_half_of_four_operations_are_applied_all_alike_and_at_a_strength_near_the_set_one() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_operations(rng, magnitude=7, std=0.5, count=4) for _ in range(3000)]
    assert np.mean([len(each) for each in drawn]) == pytest.approx(2, abs=0.06)
    names = [operation.name for each in drawn for operation in each]
    shares = np.array([names.count(name) for name in OPERATIONS]) / len(names)
    assert np.abs(shares - 1 / 15).max() < 0.012
    degrees = np.array([operation.amount for each in drawn for operation in each if operation.name == "rotate"])
    assert np.mean(degrees > 0) == pytest.approx(0.5, abs=0.08)
    assert np.abs(degrees).mean() == pytest.approx(21, abs=0.3) and np.abs(degrees).std() == pytest.approx(1.5, abs=0.2)


def test_the_same_seed_draws_the_same_and_strength_stays_within_its_range() -> None:
    settings = {"magnitude": 10.0, "std": 3.0, "count": 6}
    one, two = (draw_operations(np.random.default_rng(5), **settings) for _ in range(2))  # type: ignore[arg-type]
    assert one == two != draw_operations(np.random.default_rng(6), **settings)  # type: ignore[arg-type]
    many = [
        operation
        for seed in range(200)
        for operation in draw_operations(np.random.default_rng(seed), **settings)  # type: ignore[arg-type]
    ]
    assert max(abs(o.amount) for o in many if o.name == "rotate") == 30
    assert draw_operations(np.random.default_rng(0), magnitude=7, std=0.5, count=0) == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", PILLOW)
def test_a_gpu_gives_the_pixels_of_the_cpu(name: str) -> None:
    frames, operation = pictures(45, 80), Operation(name, OPERATIONS[name][1](0.7, 1.0))
    difference = (operation(frames.cuda()).cpu().int() - operation(frames).int()).abs()
    assert int(difference.max()) <= (1 if name in INTERPOLATED else 0)
