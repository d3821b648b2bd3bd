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
