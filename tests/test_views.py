"""Views: sizes, crop corners and normalised clips, against a plain restatement and golden numbers."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from distributed.augmentation import AugmentationConfig
from distributed.cropping import FaceConfig
from distributed.views import ViewsConfig, crop_corners, evaluation_clips, short_side

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
ONE, THREE = ViewsConfig(), ViewsConfig(crops=3)


def random_frames(count: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator)


def clips_of(frames: Tensor, clips: Tensor, config: ViewsConfig, resolution: int) -> Tensor:
    return evaluation_clips(frames, clips, config, resolution=resolution, mean=MEAN, std=STD)


def plain_clips(frames: Tensor, clips: Tensor, crops: int, side: int) -> Tensor:
    """The same from numpy slices, one frame of one clip at a time, in float32."""
    height, width = frames.shape[1:3]
    pictures = frames.numpy()
    views = []
    for view in range(crops):
        if crops == 1:
            # numpy, like the rule, takes halves to the even neighbour.
            top, left = int(np.rint((height - side) / 2)), int(np.rint((width - side) / 2))
        else:
            start = view * ((max(height, width) - side) // 2)
            top, left = (start, 0) if height > width else (0, start)
        segments = []
        for numbers in clips.tolist():
            cut = [pictures[n, top : top + side, left : left + side] for n in numbers]
            channels = [
                (np.stack(cut)[..., c].astype(np.float32) / np.float32(255) - np.float32(MEAN[c])) / np.float32(STD[c])
                for c in range(3)
            ]
            segments.append(np.stack(channels))
        views.append(np.stack(segments))
    return torch.from_numpy(np.stack(views))


def test_one_view_keeps_a_margin_and_three_keep_none() -> None:
    assert [short_side(ONE, resolution) for resolution in (224, 384, 256, 64)] == [256, 438, 292, 73]
    assert [short_side(THREE, resolution) for resolution in (224, 384, 256, 64)] == [224, 384, 256, 64]


@pytest.mark.parametrize(
    ("size", "config", "resolution", "expected"),
    [
        ((438, 778), ONE, 384, [(27, 197)]),
        ((438, 584), ONE, 384, [(27, 100)]),
        ((778, 438), ONE, 384, [(197, 27)]),
        ((256, 257), ONE, 224, [(16, 16)]),  # 16.5 goes to the even 16
        ((256, 259), ONE, 224, [(16, 18)]),  # 17.5 goes to the even 18
        ((384, 682), THREE, 384, [(0, 0), (0, 149), (0, 298)]),
        ((384, 683), THREE, 384, [(0, 0), (0, 149), (0, 298)]),  # the odd column is in no view
        ((683, 384), THREE, 384, [(0, 0), (149, 0), (298, 0)]),
        ((384, 384), THREE, 384, [(0, 0), (0, 0), (0, 0)]),
        ((384, 385), THREE, 384, [(0, 0), (0, 0), (0, 0)]),
    ],
)
def test_crop_corners(
    size: tuple[int, int], config: ViewsConfig, resolution: int, expected: list[tuple[int, int]]
) -> None:
    assert crop_corners(*size, config, resolution) == expected


@pytest.mark.parametrize("config", [ONE, THREE])
@pytest.mark.parametrize(
    "size", [(36, 36), (37, 36), (36, 37), (38, 36), (36, 39), (64, 36), (36, 65), (36, 200), (199, 36)]
)
def test_clips_equal_the_plain_restatement(config: ViewsConfig, size: tuple[int, int]) -> None:
    resolution = 32 if config.crops == 1 else 36
    frames = random_frames(5, *size)
    clips = torch.tensor([[0, 1, 2, 3], [2, 2, 4, 1], [4, 3, 0, 0]])
    found = clips_of(frames, clips, config, resolution)
    assert found.shape == (config.crops, 3, 3, 4, resolution, resolution)
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    assert torch.equal(found, plain_clips(frames, clips, config.crops, resolution))


def test_normalised_values_are_the_known_ones() -> None:
    frames = torch.zeros(1, 18, 20, 3, dtype=torch.uint8)
    frames[..., 1] = 255
    frames[..., 2] = 128
    found = clips_of(frames, torch.tensor([[0]]), ONE, 16)[0, 0, :, 0]
    for channel, value in enumerate((-2.117904, 2.428571, 0.426492)):
        assert float(found[channel].min()) == pytest.approx(value, abs=1e-6)
        assert float(found[channel].max()) == pytest.approx(value, abs=1e-6)


def test_three_views_are_first_middle_last_along_the_long_side() -> None:
    assert THREE.names == ("first", "middle", "last")
    assert ONE.names == ("centre",)
    for along in (0, 1):
        ramp = torch.arange(80, dtype=torch.uint8)[None, :, None, None].expand(1, 80, 16, 3)
        frames = ramp if along == 0 else ramp.transpose(1, 2)
        corner = clips_of(frames.contiguous(), torch.tensor([[0]]), THREE, 16)[:, 0, 0, 0, 0, 0]
        torch.testing.assert_close((corner * STD[0] + MEAN[0]) * 255, torch.tensor([0.0, 32.0, 64.0]))


def test_frames_are_left_as_they_are() -> None:
    frames = random_frames(3, 18, 22)
    before = frames.clone()
    clips_of(frames, torch.tensor([[0, 1], [1, 2]]), ONE, 16)
    assert torch.equal(frames, before)


def test_a_frame_number_that_was_not_decoded_is_an_error() -> None:
    for number in (3, -1):
        with pytest.raises((IndexError, RuntimeError), match=r"(?i)bounds|range"):
            clips_of(random_frames(3, 18, 22), torch.tensor([[0, number]]), ONE, 16)


@pytest.mark.parametrize(("config", "size"), [(ONE, (15, 40)), (ONE, (17, 40)), (THREE, (18, 40))])
def test_frames_that_were_not_resized_are_refused(config: ViewsConfig, size: tuple[int, int]) -> None:
    with pytest.raises(AssertionError, match=f"{size[0]}x{size[1]} pixels: the short side has to be resized"):
        clips_of(random_frames(1, *size), torch.tensor([[0]]), config, 16)


def test_frames_of_another_type_are_refused() -> None:
    with pytest.raises(AssertionError, match="uint8"):
        clips_of(random_frames(1, 18, 18).float(), torch.tensor([[0]]), ONE, 16)


@pytest.mark.parametrize("crops", [0, 2, 5, "three"])
def test_other_numbers_of_crops_are_refused(crops: Any) -> None:
    with pytest.raises(ValueError, match="Set it to 1"):
        ViewsConfig(crops=crops)


def test_a_store_knows_of_passes_only_where_there_are_some() -> None:
    assert ViewsConfig(crops=3).in_force() == {"crops": 3}
    weaker = AugmentationConfig(erasing=0.0)
    assert ViewsConfig(augmentation=weaker).in_force() == {"crops": 1}  # of passes that there are not
    found = ViewsConfig(crops=3, train=2, augmentation=weaker)
    assert found.pass_names == ("train-1", "train-2") and found.names == THREE.names
    assert found.in_force()["train"] == 2 and found.in_force()["augmentation"]["erasing"] == 0.0
    assert ViewsConfig.clean_of(found.in_force()) == THREE
    with pytest.raises(ValueError, match="train is -1"):
        ViewsConfig(train=-1)


def test_a_crop_is_in_the_header_only_where_there_is_one_and_settings_that_do_not_fit_are_refused() -> None:
    middle = ViewsConfig(centre_crop=0.8)
    assert middle.in_force() == {"crops": 1, "centre_crop": 0.8} and ViewsConfig.clean_of(middle.in_force()) == middle
    face = ViewsConfig(face=FaceConfig("faces.csv", unit="fractions"))
    assert face.in_force()["face"] == {"unit": "fractions", "margin": 1.3, "missing": "error"}
    for settings, message in (
        ({"centre_crop": 0}, "centre_crop is 0"),
        ({"centre_crop": 0.5, "face": FaceConfig("a.csv")}, "set one of them"),
        ({"crops": 3, "face": FaceConfig("a.csv")}, "set crops: 1"),
    ):
        with pytest.raises(ValueError, match=message):
            ViewsConfig(**settings)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("config", "resolution"), [(ONE, 32), (THREE, 36)])
def test_a_gpu_gives_the_clips_of_the_cpu(config: ViewsConfig, resolution: int) -> None:
    frames = random_frames(5, 36, 61)
    clips = torch.tensor([[0, 1, 2, 3], [2, 2, 4, 1]])
    found = clips_of(frames.cuda(), clips, config, resolution)
    assert found.device.type == "cuda"
    torch.testing.assert_close(found.cpu(), plain_clips(frames, clips, config.crops, resolution), rtol=1e-6, atol=1e-6)
