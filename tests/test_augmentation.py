"""Augmented passes: the crops and rectangles of the reference, and numbers that follow from video and pass alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from distributed.augmentation import AugmentationConfig, PassMaker, Rectangle, draw_crop, draw_erased
from distributed.clips import pass_seed
from distributed.randaugment import draw_operations
from tests.test_randaugment import by_pillow

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PUBLISHED = AugmentationConfig()
PLAIN = AugmentationConfig(randaugment_ops=0, crop_area=(1, 1), crop_ratio=(1, 1), erasing=0)
CLIPS = torch.tensor([[0, 1, 2, 3], [2, 3, 4, 4]])


def frames(height: int = 36, width: int = 36) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (5, height, width, 3), dtype=torch.uint8, generator=generator)


def made(config: AugmentationConfig, *, video_id: str = "a/1", number: int = 1, resolution: int = 32) -> Tensor:
    maker = PassMaker(config, resolution, MEAN, STD)
    return maker.clips(frames(), CLIPS, video_id=video_id, number=number)


def normalised(pixels: Tensor) -> Tensor:
    """uint8[T, 3, H, W] as float32."""
    return (pixels / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def test_without_any_augmentation_the_whole_frame_is_resized_and_normalised() -> None:
    found = made(PLAIN)
    assert found.shape == (2, 3, 2 * 2, 32, 32) and found.dtype == torch.float32
    for clip, numbers in zip(found, CLIPS, strict=True):
        pixels = normalised(frames()[numbers].permute(0, 3, 1, 2))
        expected = F.interpolate(pixels, size=(32, 32), mode="bilinear", align_corners=False)
        torch.testing.assert_close(clip.transpose(0, 1), expected)


def test_a_pass_follows_from_seed_video_and_number_and_clips_differ() -> None:
    one = made(PUBLISHED)
    torch.manual_seed(17)  # nobody else's random numbers have a part in it
    assert torch.equal(made(PUBLISHED), one)
    others = [made(PUBLISHED, number=2), made(PUBLISHED, video_id="a/2"), made(replace(PUBLISHED, seed=1))]
    assert all(not torch.equal(other, one) for other in others)
    crops_alone = made(replace(PLAIN, crop_area=(0.2, 0.5)))
    shared = crops_alone[0, :, 2], crops_alone[1, :, 0]  # the same frame in two clips
    assert not torch.allclose(*shared)


def test_crops_cover_the_shares_and_ratios_of_the_reference() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_crop(rng, 438, 778, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(4000)]
    for crop in drawn:
        assert 0 <= crop.top <= 438 - crop.height and 0 <= crop.left <= 778 - crop.width
        assert 0.74 < crop.width / crop.height < 1.35
    shares = np.array([crop.height * crop.width / (438 * 778) for crop in drawn])
    # The largest crops do not fit into a wide frame and are drawn again: square, a crop has at most 56 % of it.
    assert 0.079 < shares.min() < 0.085 and 0.7 < shares.max() < 0.76
    ratios = np.log([crop.width / crop.height for crop in drawn])
    small = shares < 0.3
    assert abs(ratios[small].mean()) < 0.02 and ratios[small].std() == pytest.approx(
        math.log(16 / 9) / 12**0.5, rel=0.05
    )
    assert len({(crop.top, crop.left) for crop in drawn}) > 3000


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((100, 300), Rectangle(0, 83, 100, 133)),
        ((300, 100), Rectangle(83, 0, 133, 100)),
        ((90, 90), Rectangle(0, 0, 90, 90)),
    ],
)
def test_where_no_draw_fits_the_middle_is_taken(size: tuple[int, int], expected: Rectangle) -> None:
    """The whole area at a ratio that is not the frame's never fits."""
    assert draw_crop(np.random.default_rng(0), *size, (1.0, 1.0), (3 / 4, 4 / 3)) == expected


def test_the_erased_rectangle_has_the_reference_s_size() -> None:
    rng = np.random.default_rng(0)
    found = [draw_erased(rng, 384, 384) for _ in range(3000)]
    places = [place for place in found if place is not None]
    assert len(places) == 3000
    shares = np.array([place.height * place.width for place in places]) / 384**2
    assert shares.min() > 0.018 and shares.max() < 0.336 and shares.mean() == pytest.approx(0.17, abs=0.01)
    ratios = np.array([place.width / place.height for place in places])
    assert ratios.min() > 0.28 and ratios.max() < 3.6


def test_erasing_puts_other_noise_into_one_place_of_every_frame() -> None:
    plain, erased = made(PLAIN), made(replace(PLAIN, erasing=1.0))
    for before, after in zip(plain, erased, strict=True):
        changed = (before != after).any(dim=0)  # [T, R, R]
        assert all(torch.equal(changed[0], frame) for frame in changed)
        rows, columns = torch.where(changed[0])
        inside = after[:, :, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert int(changed[0].sum()) == inside[0, 0].numel()
        assert abs(float(inside.mean())) < 0.1 and float(inside.std()) == pytest.approx(1, abs=0.1)
        assert not torch.equal(inside[:, 0], inside[:, 1])
    quarter = replace(PLAIN, erasing=0.25)
    hit = [bool((made(quarter, number=n) != plain).flatten(1).any(dim=1)[0]) for n in range(1, 201)]
    assert np.mean(hit) == pytest.approx(0.25, abs=0.09)


def by_the_reference(number: int) -> Tensor:
    """The reference's steps in its order, with Pillow: operations, normalising, crop, erasing; clip after clip."""
    rng = np.random.default_rng(pass_seed(0, "a/1", number, "pixels"))
    clips = []
    for numbers in CLIPS:
        pixels = frames()[numbers].permute(0, 3, 1, 2)
        for operation in draw_operations(rng, magnitude=7.0, std=0.5, count=4):
            pixels = by_pillow(operation.name, operation.amount, pixels)
        crop = draw_crop(rng, 36, 36, (0.08, 1.0), (3 / 4, 4 / 3))
        clip = F.interpolate(crop.of(normalised(pixels)), size=(32, 32), mode="bilinear", align_corners=False)
        if rng.random() < 0.25:
            place = draw_erased(rng, 32, 32)
            assert place is not None
            noise = rng.standard_normal((4, 3, place.height, place.width), dtype=np.float32)
            rows, columns = slice(place.top, place.top + place.height), slice(place.left, place.left + place.width)
            clip[:, :, rows, columns] = torch.from_numpy(noise)
        clips.append(clip.transpose(0, 1))
    return torch.stack(clips)


def test_a_published_pass_is_the_reference_s_steps_in_its_order() -> None:
    level = 1.01 / 255 / min(STD)  # of rotation, at most in single pixels
    for number in range(1, 13):
        difference = (made(PUBLISHED, number=number) - by_the_reference(number)).abs()
        assert float(difference.max()) < level and float((difference > 1e-5).double().mean()) < 1e-3


def test_strength_is_what_is_set() -> None:
    config = replace(PLAIN, randaugment_ops=4)
    usual, strong = (
        [made(each, number=number) for number in range(1, 9)]
        for each in (config, replace(config, randaugment_magnitude=10.0, randaugment_std=0.0))
    )
    assert any(not torch.equal(each, made(PLAIN)) for each in usual)
    assert any(not torch.equal(one, other) for one, other in zip(usual, strong, strict=True))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"randaugment_magnitude": 11}, "from 0 to 10"),
        ({"randaugment_ops": -1}, "must not be negative"),
        ({"crop_area": (0.5, 0.2)}, "smaller first"),
        ({"crop_area": (0.5, 1.2)}, "shares of a frame"),
        ({"crop_ratio": (0.0, 1.0)}, "above 0"),
        ({"erasing": 1.5}, "probability"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AugmentationConfig(**values)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_makes_the_pass_of_the_cpu() -> None:
    maker = PassMaker(PUBLISHED, 32, MEAN, STD)
    for number in range(1, 9):
        here = maker.clips(frames(), CLIPS, video_id="a", number=number)
        there = maker.clips(frames().cuda(), CLIPS, video_id="a", number=number)
        torch.testing.assert_close(there.cpu(), here, atol=0.03, rtol=0)
