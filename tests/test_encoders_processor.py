"""A processor's settings give the resolution and the scale of pixels that its own code would give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distributed.encoders.processor import Pixels, read_pixels
from distributed.errors import UserError
from tests.small_models import PROCESSOR

FILE = Path("preprocessor_config.json")


def read(**changes: Any) -> Pixels:
    settings = {**PROCESSOR, **changes}
    return read_pixels(FILE, {key: value for key, value in settings.items() if value != "absent"})


def test_resolution_mean_and_std_are_those_of_the_settings() -> None:
    assert read() == Pixels(32, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


@pytest.mark.parametrize(
    ("changes", "resolution"),
    [
        ({"crop_size": 24}, 24),
        ({"crop_size": [24, 24]}, 24),
        ({"do_center_crop": False, "size": {"height": 48, "width": 48}}, 48),  # SigLIP
        ({"crop_size": "absent", "do_center_crop": "absent", "size": 40}, 40),
        ({"crop_size": "absent", "size": {"shortest_edge": 36}}, 36),
        ({"do_center_crop": "absent"}, 32),
    ],
)
def test_the_last_step_that_changes_the_size_decides_the_resolution(changes: dict[str, Any], resolution: int) -> None:
    assert read(**changes).resolution == resolution


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"do_normalize": False},
        {"do_rescale": False, "image_mean": [120.0, 110.0, 100.0], "image_std": [60.0, 50.0, 40.0]},
        {"rescale_factor": 1 / 127.5},
        {"rescale_factor": 1 / 127.5, "offset": True},
        {"rescale_factor": 1 / 127.5, "image_processor_type": "VivitImageProcessor"},
        {"rescale_factor": 1 / 127.5, "image_processor_type": "VivitImageProcessor", "offset": False},
    ],
)
def test_pixels_are_scaled_as_the_librarys_processor_scales_them(changes: dict[str, Any]) -> None:
    """ViViT's own processor computes every case: it alone can take an offset off."""
    transformers = pytest.importorskip("transformers")
    settings = {**PROCESSOR, **changes}
    settings.setdefault("offset", settings.pop("image_processor_type").startswith("Vivit"))
    own = transformers.VivitImageProcessor(**{**settings, "do_resize": False, "do_center_crop": False})
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    expected = own([list(frames)], return_tensors="np")["pixel_values"][0].transpose(0, 2, 3, 1)
    pixels = read(**changes)
    found = (frames / 255 - np.array(pixels.mean)) / np.array(pixels.std)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_mean": "absent"}, "image_mean is None: it has to be three numbers"),
        ({"image_std": [0.1, 0.2]}, "image_std is [0.1, 0.2]"),
        ({"image_std": [0.1, 0.2, 0]}, "it has to be above 0"),
        ({"image_mean": [0.1, 0.2, float("nan")]}, "image_mean"),
        ({"rescale_factor": 0}, "rescale_factor is 0"),
        ({"rescale_factor": "1/255"}, "rescale_factor is '1/255'"),
        ({"crop_size": {"height": 32, "width": 48}}, "crop_size is {'height': 32, 'width': 48}: it has to name one"),
        ({"crop_size": "absent", "size": "absent"}, "size is None"),
        ({"crop_size": -1}, "pictures of -1 pixels"),
        ({"crop_size": 32.5}, "crop_size is 32.5"),
    ],
)
def test_settings_that_are_missing_or_senseless_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(**changes)
    assert message in str(caught.value) and str(FILE) in str(caught.value)
