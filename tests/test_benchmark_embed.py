"""Figures of an encoder and of a whole embedding follow from each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from distributed import benchmark_embed
from distributed.benchmark_embed import measure_encoding, measure_road, random_weights
from distributed.encoders import EncoderConfig, encoder_spec
from distributed.encoders.vjepa import Shape
from tests.conftest import WriteVideo
from tests.small_road import write_encoder


def test_rates_of_an_encoder_and_of_a_matrix_product(tmp_path: Path) -> None:
    config = EncoderConfig(weights=str(write_encoder(tmp_path / "tiny.safetensors")))
    found = measure_encoding(config, 4, 1)
    assert found.clips == 4 and found.dtype == "float32" and found.device
    assert found.flops_per_clip == Shape(32, 1, 2, 32).flops
    assert found.flops == found.flops_per_clip / found.clip_s and found.product_flops > found.flops > 0


@pytest.mark.usefixtures("shared_ray")
def test_the_whole_road_is_the_real_one(tmp_path: Path, write_video: WriteVideo) -> None:
    config = EncoderConfig(weights=str(write_encoder(tmp_path / "tiny.safetensors")))
    video = write_video(tmp_path / "a.mp4", frames=24)
    work, seconds = measure_road(tmp_path, video, config, 8)
    assert work.clips == 8 * 24 and work.token_bytes == 8 * 3 * 2 * (8 * 8 * 2 * 2 * 32)
    assert 0 < work.wrote_s < sum(work.worked_s.values()) < 2 * seconds and work.wait_shares


def test_random_weights_are_those_of_the_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"vjepa-vitl16-224": Shape(32, 1, 2, 32)}
    monkeypatch.setattr(benchmark_embed, "SHAPES", small)
    monkeypatch.setattr("distributed.encoders.SHAPES", small)
    path = random_weights(tmp_path, "vjepa-vitl16-224")
    assert encoder_spec(EncoderConfig("vjepa-vitl16-224", str(path))).dim == 32
