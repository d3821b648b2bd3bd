"""Decoded frames to class probabilities: an encoder, what the token store would keep, and probes on it.

Every step is the embedding's and the evaluation's own, so a video gets the probabilities that its tokens in a
store would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distributed.clips import Indices
from distributed.decoding import Frames
from distributed.encoders import Encoder
from distributed.encoding import DTYPES, encode_clips, unusable
from distributed.pooling import pool_tokens
from distributed.prediction import predict_probabilities
from distributed.token_source import TensorTokens
from distributed.views import ViewsConfig, evaluation_clips
from search_spaces.probe import Probe

Probabilities = npt.NDArray[np.float32]


class UnusableTokensError(ValueError):
    """The encoder gave numbers that no probe may be shown; the message is the reason."""


@dataclass(frozen=True)
class Scorer:
    """An encoder and probes. `pool` and `dtype` are what the probes' training tokens were kept with."""

    encoder: Encoder
    probes: Sequence[Probe]
    views: ViewsConfig
    pool: str
    dtype: str
    clips_per_batch: int

    def video(self, frames: Frames, clips: Indices) -> Probabilities:
        """float32[P, C]: what each of P probes says of a whole video, averaged over its views.

        `frames` is uint8[F, H, W, 3], resized, and `clips` int64[segments, T] holds positions in it.

        Raises:
            UnusableTokensError: the tokens are not finite or too large for `dtype`.
        """
        tokens = pool_tokens(self._encode(frames, clips), self.pool)
        return self._probabilities(tokens.flatten(1, -2)[None])[:, 0]

    def windows(self, frames: Frames, clips: Indices) -> Probabilities:
        """float32[P, W, C]: what each probe says of each of the W clips alone; otherwise as `video`."""
        tokens = self._encode(frames, clips)
        views, count = tokens.shape[:2]
        tokens = pool_tokens(tokens.flatten(0, 1)[:, None], self.pool)
        return self._probabilities(tokens.reshape(views, count, -1, tokens.shape[-1]).transpose(0, 1))

    def _encode(self, frames: Frames, clips: Indices) -> Tensor:
        """Tokens float32[V, S, t, h, w, D]."""
        spec, device = self.encoder.spec, self.encoder.device
        pixels = evaluation_clips(
            torch.from_numpy(frames).to(device),
            torch.from_numpy(clips).to(device),
            self.views,
            resolution=spec.resolution,
            mean=spec.mean,
            std=spec.std,
        )
        tokens = encode_clips(self.encoder, pixels.flatten(0, 1), self.clips_per_batch)
        return tokens.view(*pixels.shape[:2], *tokens.shape[1:])

    def _probabilities(self, tokens: Tensor) -> Probabilities:
        """Of tokens float32[B, V, N, D], rounded to the 16 bits of the store."""
        if reason := unusable(tokens, self.dtype):
            raise UnusableTokensError(reason)
        source = TensorTokens(tokens.to(DTYPES[self.dtype]))
        return predict_probabilities(source, np.arange(len(tokens)), self.probes, device=self.encoder.device)
