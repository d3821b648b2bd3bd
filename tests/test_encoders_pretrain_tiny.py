"""The tiny encoder's recipe learns, and the shipped weights are what the package needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from distributed.demo.faces import draw_clip
from distributed.demo.landmarks import LANDMARKS
from distributed.encoders import TINY_WEIGHTS, EncoderConfig, load_encoder
from distributed.encoders.pretrain_tiny import (
    FIRST_ACTOR,
    SEED,
    SHAPE,
    Reader,
    Recipe,
    draw,
    pretrain,
)
from distributed.encoders.vjepa import IMAGENET_MEAN, IMAGENET_STD, Shape
from distributed.encoders.weights import read_shape, read_state, write_weights

_SMALL = Shape(dim=48, depth=1, heads=2, resolution=48)
_SHORT = Recipe(tubelet_rounds=3, clip_rounds=1, clips=20, passes=2, tubelet_batch=16, learning_rate=8e-3)


def test_drawn_clips_hold_pixels_and_what_they_show() -> None:
    drawn = draw(FIRST_ACTOR, 3, SHAPE)
    assert drawn.pixels.shape == (3, 16, 96, 96, 3)
    assert drawn.landmarks.shape == (3, 8, len(LANDMARKS), 2)
    assert drawn.steps.tolist() == [list(range(8))] * 3
    assert ((drawn.landmarks > 0) & (drawn.landmarks < 1)).float().mean() > 0.99
    tubelets = drawn.tubelets()
    assert torch.equal(tubelets.pixels[11], drawn.pixels[1, 6:8])
    assert torch.equal(tubelets.parameters[11, 0], drawn.parameters[1, 3])
    assert tubelets.steps[11].tolist() == [3]


def test_a_few_rounds_lower_the_loss() -> None:
    _, losses = pretrain(_SHORT, shape=_SMALL)
    assert losses.shape == (4, 2)
    assert losses[2, 0] < 0.87 * losses[0, 0]
    assert losses[3, 0] < losses[0, 0]  # whole clips after single tubelets


def test_the_recipe_is_repeatable_and_leaves_the_global_random_state_alone() -> None:
    recipe = replace(_SHORT, tubelet_rounds=1, clip_rounds=1, clips=16, passes=1)
    before = torch.random.get_rng_state()
    (first, losses), (second, again) = pretrain(recipe, shape=_SMALL), pretrain(recipe, shape=_SMALL)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.testing.assert_close(losses, again, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(first.norm.weight, second.norm.weight, rtol=1e-3, atol=1e-5)


def test_the_readers_tokens_are_the_encoders() -> None:
    """What is trained is what is shipped: on whole clips both compute the same tokens."""
    encoder = _SMALL.build()
    reader = Reader(encoder, torch.zeros(1), torch.ones(1))
    clips = torch.randn(2, 3, 16, 48, 48)
    with torch.no_grad():
        expected = encoder(clips).flatten(2, 3)
        torch.testing.assert_close(reader.tokens(clips, torch.arange(8).repeat(2, 1)), expected, rtol=1e-4, atol=1e-5)


def test_a_lost_training_stops_loudly() -> None:
    recipe = replace(_SHORT, tubelet_rounds=1, clip_rounds=0, clips=4, learning_rate=float("inf"))
    with pytest.raises(ArithmeticError, match="not finite in round 1"):
        pretrain(recipe, shape=_SMALL)


def test_half_precision_weights_load_again(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    model = _SMALL.build()
    write_weights(path, model.half())
    assert read_shape(path) == _SMALL
    encoder = load_encoder(EncoderConfig(weights=str(path), device="cpu"))
    name = "blocks.0.attn.qkv.weight"
    assert torch.equal(encoder.module.state_dict()[name], model.state_dict()[name].float())


def test_the_shipped_weights_are_small_and_of_the_recipes_shape() -> None:
    assert TINY_WEIGHTS.stat().st_size <= 8 * 2**20
    assert read_shape(TINY_WEIGHTS) == SHAPE
    assert {tensor.dtype for tensor in read_state(TINY_WEIGHTS).values()} == {torch.float16}


def test_no_actor_of_the_demo_was_trained_on() -> None:
    recipe = Recipe()
    trained = range(FIRST_ACTOR, FIRST_ACTOR + recipe.rounds * recipe.clips)
    assert not set(trained) & {*range(1, 25), *range(1001, 1092)}
    assert SEED not in range(100)  # the demo's seeds


def test_the_shipped_encoder_finds_the_mouth_of_the_demos_actors() -> None:
    """A linear layer fitted to a few actors tells, of others, how wide the mouth is open from the mean tokens."""
    encoder = load_encoder(EncoderConfig(device="cpu"))
    mean, std = (np.array(values, dtype=np.float32) for values in (IMAGENET_MEAN, IMAGENET_STD))
    features, surprised = [], []
    for actor in range(1, 13):
        for emotion in ("sad", "surprised"):
            frames = draw_clip(actor, emotion, 0, seed=0, num_frames=44, size=(108, 108))[12:44:2, 6:102, 6:102]
            pixels = torch.from_numpy((frames / np.float32(255) - mean) / std).permute(3, 0, 1, 2)[None]
            features.append(encoder(pixels)[0].mean(dim=(0, 1, 2)).numpy())
            surprised.append(emotion == "surprised")
    x, y = np.array(features), np.array(surprised)
    x = (x - x[:16].mean(axis=0)) / x[:16].std(axis=0)
    direction = x[:16][y[:16]].mean(axis=0) - x[:16][~y[:16]].mean(axis=0)
    assert ((x[16:] @ direction > 0) == y[16:]).mean() >= 0.75
