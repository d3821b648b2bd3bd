"""The recipe of the tiny encoder that the demo embeds with.

    python -m distributed.encoders.pretrain_tiny --out tiny.safetensors

A vision transformer of V-JEPA's architecture learns the geometry of drawn faces: in every time step, where the
landmarks of `distributed.demo.landmarks` are, and by how much the facial parameters of `distributed.demo.expressions`
move the face, each read off the tokens of the place where it shows. The linear layers that read are thrown away. Every
clip is a new actor, none of them in the demo, with an expression drawn at random: no emotion is ever named or drawn.
Training begins with single tubelets, which bring eight times more actors for the same work, and ends with whole clips.
About 25 minutes on one core; the same machine gives the same weights.
"""

from __future__ import annotations

import argparse
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from distributed.demo.expressions import PARAMETERS
from distributed.demo.faces import draw_random
from distributed.demo.landmarks import LANDMARKS
from distributed.encoders.vjepa import IMAGENET_MEAN, IMAGENET_STD, Shape, VisionTransformer
from distributed.encoders.weights import write_weights

log = logging.getLogger(__name__)

SHAPE = Shape(dim=192, depth=4, heads=6, resolution=96)
FIRST_ACTOR = 1_000_000  # the demo's actors have four digits at most
SEED = 20_260
CANVAS = 144  # pixels, both ways: the middle of the demo's pictures

# Where each facial parameter shows.
_PLACES: dict[str, tuple[str, ...]] = {
    "brow_inner": ("left_brow_inner", "right_brow_inner"),
    "brow_outer": ("left_brow_outer", "right_brow_outer"),
    "brow_furrow": ("left_brow_inner", "right_brow_inner"),
    "upper_lid": ("left_lid", "right_lid"),
    "lower_lid": ("left_under_eye", "right_under_eye"),
    "mouth_corner": ("left_corner", "right_corner"),
    "mouth_open": ("mouth_bottom",),
    "mouth_width": ("left_corner", "right_corner"),
    "upper_lip": ("lip_top", "mouth_top"),
    "lower_lip": ("lip_bottom",),
    "nose_wrinkle": ("nose",),
    "gaze_x": ("left_lid", "right_lid"),
    "gaze_y": ("left_lid", "right_lid"),
    "pitch": ("nose",),
    "yaw": ("nose",),
    "roll": ("nose",),
}


@dataclass(frozen=True)
class Recipe:
    """How long and how fast. A round draws new clips and trains on them.

    The first `tubelet_rounds` rounds go over all single tubelets, the `clip_rounds` after them over the whole
    clips, `passes` times. Batches are counted in tubelets and in clips.
    """

    tubelet_rounds: int = 13
    clip_rounds: int = 10
    clips: int = 500
    passes: int = 2
    tubelet_batch: int = 32
    clip_batch: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 0.02

    @property
    def rounds(self) -> int:
        return self.tubelet_rounds + self.clip_rounds


@dataclass(frozen=True)
class Drawn:
    """Drawn clips, or single tubelets with t = 1 and T = `tubelet`.

    `pixels` is uint8[N, T, R, R, 3]; per tubelet there are `parameters` float32[N, t, P], `landmarks`
    float32[N, t, L, 2] as shares of the picture, and the time `steps` int64[N, t] that they come from.
    """

    pixels: Tensor
    parameters: Tensor
    landmarks: Tensor
    steps: Tensor

    def __getitem__(self, rows: Tensor) -> Drawn:
        return Drawn(self.pixels[rows], self.parameters[rows], self.landmarks[rows], self.steps[rows])

    def __len__(self) -> int:
        return len(self.pixels)

    def tubelets(self) -> Drawn:
        """Every tubelet as an example of its own."""
        N, t = self.steps.shape
        pixels = self.pixels.reshape(N * t, -1, *self.pixels.shape[2:])
        flat = (values.flatten(0, 1)[:, None] for values in (self.parameters, self.landmarks, self.steps))
        return Drawn(pixels, *flat)


def draw(first_actor: int, clips: int, shape: Shape) -> Drawn:
    """Clips of so many actors, one each, seen by a camera that is not quite the demo's."""
    drawn = [_draw_clip(first_actor + number, shape) for number in range(clips)]
    pixels, parameters, landmarks = (torch.from_numpy(np.stack(parts)) for parts in zip(*drawn, strict=True))
    steps = torch.arange(shape.frames // shape.tubelet).repeat(clips, 1)
    return Drawn(pixels, parameters, landmarks, steps)


def _draw_clip(actor: int, shape: Shape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng([SEED, actor])
    length = int(rng.integers(40, 71))
    start = int(rng.integers(0, length - 2 * shape.frames + 1))
    chosen = range(start, start + 2 * shape.frames, 2)
    clip = draw_random(actor, 0, seed=SEED, frames=chosen, length=length, size=(CANVAS, CANVAS))
    side = int(rng.integers(round(0.8 * CANVAS), round(0.97 * CANVAS)))
    top, left = rng.integers(0, CANVAS - side + 1, 2)
    window = clip.frames[:, top : top + side, left : left + side]
    size = (shape.resolution, shape.resolution)
    pixels = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR) for frame in window])
    landmarks = (clip.landmarks - np.array([left, top], dtype=np.float32)) / np.float32(side)
    t = shape.frames // shape.tubelet
    tubelets = (values.reshape(t, shape.tubelet, *values.shape[1:]) for values in (clip.parameters, landmarks))
    return pixels, *(values.mean(axis=1) for values in tubelets)


def _normalise(pixels: Tensor) -> Tensor:
    """uint8[B, T, R, R, 3] to float32[B, 3, T, R, R], with another gain and another amount of noise for each."""
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    clips = pixels.permute(0, 4, 1, 2, 3).float() / 255
    gain = 1 + 0.1 * torch.randn(len(clips), 3, 1, 1, 1)
    noise = 0.02 * torch.rand(len(clips), 1, 1, 1, 1) * torch.randn(1, *clips.shape[1:])
    return (clips * gain + noise - mean) / std


class Reader(nn.Module):
    """The encoder and the linear layers that read its tokens; facial parameters are in units of `scale`."""

    def __init__(self, encoder: VisionTransformer, centre: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        dim = encoder.shape.dim
        self.where = nn.Linear(dim, len(LANDMARKS))
        self.offset = nn.Linear(dim, 2 * len(LANDMARKS))
        self.amount = nn.Linear(dim, len(PARAMETERS))
        side = encoder.grid[1]
        rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        self.cells = (torch.stack([columns, rows], dim=-1).reshape(-1, 2) + 0.5) / side
        self.places = torch.zeros(len(LANDMARKS), len(PARAMETERS))
        for number, name in enumerate(PARAMETERS):
            for place in _PLACES[name]:
                self.places[LANDMARKS.index(place), number] = 1 / len(_PLACES[name])
        self.centre, self.scale = centre, scale

    def tokens(self, clips: Tensor, steps: Tensor) -> Tensor:
        """float[B, t, h*w, D] of clips float[B, 3, T, R, R] whose tubelets lie at the time `steps` int64[B, t]."""
        x = self.encoder.patch_embed(clips).flatten(2, 3)
        B, t, N, D = x.shape
        x = (x + self.encoder.pos_embed.reshape(-1, N, D)[steps]).flatten(1, 2)
        for block in self.encoder.blocks:
            x = block(x)
        tokens: Tensor = self.encoder.norm(x).reshape(B, t, N, D)
        return tokens

    def losses(self, batch: Drawn) -> Tensor:
        """float[2]: of finding the landmarks, and of the facial parameters (1 is what knowing nothing costs)."""
        with torch.autocast("cpu", torch.bfloat16):
            tokens = self.tokens(_normalise(batch.pixels), batch.steps)
            where, offset, amount = (layer(tokens).float() for layer in (self.where, self.offset, self.amount))
        side = self.encoder.grid[1]
        cell = (batch.landmarks.clamp(0, 0.999) * side).long()
        found = F.cross_entropy(where.movedim(2, 1), cell[..., 1] * side + cell[..., 0])
        share = where.softmax(dim=2)
        at = self.cells[:, None] + offset.unflatten(-1, (-1, 2)) / side
        error = ((share[..., None] * at).sum(dim=2) - batch.landmarks).abs().mean() * side
        read = (amount * (share @ self.places)).sum(dim=2)
        return torch.stack([found + error, (read - (batch.parameters - self.centre) / self.scale).square().mean()])


def _batches(drawn: Drawn, size: int, passes: int) -> Iterator[Drawn]:
    for _ in range(passes):
        order = torch.randperm(len(drawn))
        for rows in torch.split(order[: len(order) // size * size], size):
            yield drawn[rows]


def _optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98), fused=True)


def _rate(done: float) -> float:
    """Share of the learning rate after a share of the work: a short warm-up, then a cosine."""
    return min(1.0, (done + 1e-3) / 0.04) * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))


def _train_round(model: Reader, optimiser: torch.optim.AdamW, drawn: Drawn, recipe: Recipe, number: int) -> Tensor:
    """One round of training; returns the mean of its losses, float[2]."""
    whole = number >= recipe.tubelet_rounds
    size = recipe.clip_batch if whole else recipe.tubelet_batch
    drawn = drawn if whole else drawn.tubelets()
    steps = len(drawn) // size * recipe.passes
    total = torch.zeros(2)
    # The plain kernel is the faster one for the few tokens of a tubelet, the fused one for those of a clip.
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION if whole else SDPBackend.MATH):
        for step, batch in enumerate(_batches(drawn, size, recipe.passes)):
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * _rate((number + step / steps) / recipe.rounds)
            losses = model.losses(batch)
            optimiser.zero_grad()
            (losses @ torch.tensor([1.0, 3.0])).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            total += losses.detach()
    if not torch.isfinite(total).all():
        raise ArithmeticError(f"the loss is not finite in round {number + 1}; lower the learning rate")
    return total / steps


def pretrain(recipe: Recipe, *, shape: Shape = SHAPE) -> tuple[VisionTransformer, Tensor]:
    """Train an encoder; returns it and the mean losses of every round, float[rounds, 2] (see `Reader.losses`).

    Raises:
        ArithmeticError: the loss became infinite or no number.
    """
    history = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        encoder = shape.build()
        drawn = draw(FIRST_ACTOR, recipe.clips, shape)
        centre, scale = (statistic(drawn.parameters.flatten(0, 1), dim=0) for statistic in (torch.mean, torch.std))
        model = Reader(encoder, centre, scale)
        optimiser = _optimiser(model, recipe)
        for number in range(recipe.rounds):
            begun = time.perf_counter()
            if number > 0:
                drawn = draw(FIRST_ACTOR + number * recipe.clips, recipe.clips, shape)
            history.append(_train_round(model, optimiser, drawn, recipe, number))
            values = (number + 1, recipe.rounds, *history[-1].tolist(), time.perf_counter() - begun)
            log.info("round %d of %d: landmarks %.3f, parameters %.3f, %.0f s", *values)
    return encoder, torch.stack(history)


def main() -> None:
    """Train with the recipe above and write the weights in half precision."""
    parser = argparse.ArgumentParser(description="Train the demo's tiny encoder on drawn faces.")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--tubelet-rounds", type=int, default=Recipe.tubelet_rounds)
    parser.add_argument("--clip-rounds", type=int, default=Recipe.clip_rounds)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    recipe = replace(Recipe(), tubelet_rounds=given.tubelet_rounds, clip_rounds=given.clip_rounds)
    encoder, _ = pretrain(recipe)
    write_weights(given.out, encoder.half())


if __name__ == "__main__":
    main()
