"""A scorer reads a video's clips together and windows each alone, and averages what the views say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distributed.encoders import Encoder, EncoderConfig, load_encoder
from distributed.prediction import predict_probabilities
from distributed.scoring import Scorer, UnusableTokensError
from distributed.token_source import TensorTokens
from distributed.views import ViewsConfig, evaluation_clips, short_side
from search_spaces.family import build_probe
from tests.small_road import write_encoder

CLIPS = np.stack([np.arange(16) + start for start in (0, 16, 32)])
PARAMS = {"attentive.queries": 1, "attentive.heads": 2, "attentive.mlp_ratio": 1.0, "attentive.depth": 1}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_encoder(
        EncoderConfig(weights=str(write_encoder(tmp_path_factory.mktemp("encoder") / "tiny.safetensors")))
    )


def scorer_of(encoder: Encoder, pool: str = "none", crops: int = 1, per_pass: int = 2) -> Scorer:
    probes = [
        build_probe("attentive", {**PARAMS, "attentive.dropout": 0.0}, dim=32, num_classes=3, seed=seed)
        for seed in (1, 2)
    ]
    return Scorer(encoder, probes, ViewsConfig(crops), pool, "float16", per_pass)


def frames_of(crops: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    side = short_side(ViewsConfig(crops), 32)
    noise = np.random.default_rng(0).integers(0, 255, (48, side, side + 20, 3))
    return (noise * np.linspace(0.1, 1, 48)[:, None, None, None]).astype(np.uint8)  # it grows lighter


@pytest.mark.parametrize("crops", [1, 3])
@pytest.mark.parametrize("pool", ["none", "time", "mean"])
def test_a_window_gets_what_a_video_of_it_alone_would_get(encoder: Encoder, pool: str, crops: int) -> None:
    scorer, frames = scorer_of(encoder, pool, crops), frames_of(crops)
    windows = scorer.windows(frames, CLIPS)
    assert windows.shape == (2, 3, 3)
    np.testing.assert_allclose(windows.sum(axis=2), 1, rtol=1e-5)
    for number in range(3):
        alone = scorer.video(frames, CLIPS[number : number + 1])
        np.testing.assert_allclose(windows[:, number], alone, atol=2e-4)
    assert np.abs(windows[:, 0] - windows[:, 2]).max() > 1e-3, "the windows cannot be told apart"


def test_a_video_is_its_segments_tokens_in_one_sequence_averaged_over_its_views(encoder: Encoder) -> None:
    scorer, frames = scorer_of(encoder, "none", 3), frames_of(3)
    spec = encoder.spec
    pixels = evaluation_clips(
        torch.from_numpy(frames), torch.from_numpy(CLIPS), scorer.views, resolution=32, mean=spec.mean, std=spec.std
    )
    expected = np.mean(
        [
            predict_probabilities(
                TensorTokens(encoder(view).reshape(1, -1, 32).half()), np.arange(1), scorer.probes, device="cpu"
            )[:, 0]
            for view in pixels
        ],
        axis=0,
    )
    np.testing.assert_allclose(scorer.video(frames, CLIPS), expected, atol=2e-4)


def test_tokens_that_are_no_numbers_reach_no_probe(encoder: Encoder) -> None:
    broken = Encoder(encoder.spec, torch.nn.Module(), encoder.device)
    broken.module.forward = lambda clips: torch.full((len(clips), 8, 2, 2, 32), torch.nan)
    with pytest.raises(UnusableTokensError, match="not finite"):
        scorer_of(broken).video(frames_of(1), CLIPS)
