"""The encoder spec: token geometry, and the JSON that a token store's header keeps."""

import json
from dataclasses import replace

import pytest

from distributed.encoders.spec import EncoderSpec

SPEC = EncoderSpec(
    name="vjepa-vith16-384",
    frames=16,
    tubelet=2,
    patch=16,
    resolution=384,
    dim=1280,
    heads=16,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    sha256="ab" * 32,
)


def test_grid_of_the_published_encoders() -> None:
    assert SPEC.grid == (8, 24, 24)
    assert replace(SPEC, resolution=224).grid == (8, 14, 14)


def test_an_encoder_of_single_images_takes_clips_of_any_length() -> None:
    image = replace(SPEC, frames=1, tubelet=1)
    assert image.grid == (1, 24, 24) and image.grid_of(12) == (12, 24, 24)
    assert SPEC.grid_of(16) == SPEC.grid
    with pytest.raises(ValueError, match="clips have 12 frames, and the encoder vjepa-vith16-384 takes 16"):
        SPEC.grid_of(12)


def test_what_only_model_folders_have_is_left_out_where_it_is_empty() -> None:
    assert {"revision", "config_sha256"}.isdisjoint(SPEC.to_json())
    folder = replace(SPEC, revision="0123", config_sha256="cd" * 32)
    assert folder.to_json()["revision"] == "0123"
    assert EncoderSpec.from_json(folder.to_json()) == folder


def test_json_gives_back_an_equal_spec() -> None:
    read = EncoderSpec.from_json(json.loads(json.dumps(SPEC.to_json())))
    assert read == SPEC
    assert hash(read) == hash(SPEC)


def test_json_of_another_version_is_refused_by_name() -> None:
    written = SPEC.to_json()
    del written["heads"]
    written["depth"] = 32
    with pytest.raises(ValueError, match="depth, heads"):
        EncoderSpec.from_json(written)
