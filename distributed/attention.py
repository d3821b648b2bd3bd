"""Where a probe looks: the softmax weights of its query rows over a video's tokens, laid back onto its frames.

A token stands for a tube of the video: `frames_per_clip / t` frames of its segment's clip, and `resolution / h`
pixels of a view's crop in either direction. Its weight is shared evenly by all pixels of that tube, so that what
a query row gives to a whole video sums to 1, however often a frame is in a clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distributed.readout import standardise
from search_spaces.probe import MixingProbe, Probe

Heat = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FrameGrid:
    """How the tokens of a video lie on its frames.

    `clips` is int64[segments, frames_per_clip], numbers of frames; `corners` the (top, left) of each view's crop
    and `resolution` its side in pixels of frames that are `size`, (height, width), large.
    """

    clips: npt.NDArray[np.int64]
    corners: Sequence[tuple[int, int]]
    resolution: int
    size: tuple[int, int]


def is_uniform(probe: Probe) -> bool:
    """Whether the probe gives every token the same weight, as one that reads the mean of the tokens does."""
    return not bool(probe.queries().any())


def attention_weights(probe: Probe, tokens: Tensor, grid: tuple[int, int, int, int]) -> Heat:
    """Softmax weights float32[R, V, segments, t, h, w] of R query rows; each row of a view sums to 1.

    Of a row that attends within parts of the video, every part has the same share; of one with several scales, the
    scales' mean.

    Of a probe that mixes tokens first, the weights are those of the mixed ones, at the places of what they came from.

    `tokens` are [V, N, D] of any floating type, those of one video; `grid` is (segments, t, h, w), N in all.
    """
    with torch.no_grad():
        rows = probe.queries()
        seen = [probe.mix(view[None].float()) if isinstance(probe, MixingProbe) else view[None] for view in tokens]
        weights = [_softmax(torch.matmul(rows, standardise(view)[0].T), probe.scales) for view in seen]
    heat: Heat = torch.stack(weights, dim=1).reshape(len(rows), len(tokens), *grid).float().numpy()
    return heat


def _softmax(logits: Tensor, scales: tuple[int, ...]) -> Tensor:
    """Softmax of logits float[R, N] within the equal parts of each scale."""
    weights = [logits.view(len(logits), parts, -1).softmax(dim=-1).flatten(1) / parts for parts in scales]
    return torch.stack(weights).mean(dim=0)


def frame_heat(weights: Heat, grid: FrameGrid, frame: int) -> Heat:
    """What one frame's pixels get of a row's weights float[V, segments, t, h, w]: float32[height, width].

    The views' means; over all pixels of all frames that are in a clip it sums to 1.
    """
    views, segments, t, h, w = weights.shape
    assert (views, segments) == (len(grid.corners), len(grid.clips)), "weights of another store"
    per_token = grid.clips.shape[1] // t
    # How much of each token's tube this frame is: a short video's last frame can be in it several times.
    shares = (grid.clips == frame).reshape(segments, t, per_token).mean(axis=2)
    patches = np.einsum("vsthw,st->vhw", weights, shares) / views
    # A last row and column of pixels that fill no patch belong to no token.
    high, wide = grid.resolution // h, grid.resolution // w
    heat = np.zeros(grid.size, np.float32)
    for patch, (top, left) in zip(patches, grid.corners, strict=True):
        square = patch.repeat(high, axis=0).repeat(wide, axis=1) / (high * wide)
        heat[top : top + h * high, left : left + w * wide] += square
    return heat


def effective_tokens(weights: Heat) -> npt.NDArray[np.float64]:
    """To how many tokens each row attends, float64[R]: the exponential of its entropy, the mean over views.

    One token alone gives 1, equal weights give the number of tokens.
    """
    flat = weights.reshape(*weights.shape[:2], -1).astype(np.float64)
    entropy = -(flat * np.log(np.maximum(flat, np.finfo(np.float64).tiny))).sum(axis=-1)
    effective: npt.NDArray[np.float64] = np.exp(entropy).mean(axis=1)
    return effective
