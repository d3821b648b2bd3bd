"""What the encoders of an embedding do: turn a part's decoded frames into tokens and write them to the store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pydantic import BaseModel, ConfigDict, Field

from distributed.augmentation import PassMaker
from distributed.clips import ClipsConfig
from distributed.decoding import DecodingConfig
from distributed.encoders import EncoderConfig, load_encoder
from distributed.encoding import DTYPES, encode_clips, unusable
from distributed.pooling import pool_tokens
from distributed.token_store import TokenRow, TokensConfig, TokenStore, VideoFailure
from distributed.views import ViewsConfig, evaluation_clips


class EmbeddingConfig(BaseModel):
    """How the work is cut, and what it may use.

    The cut shapes the store: what is encoded together decides the last bits of its tokens.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    videos_per_task: int = Field(4, ge=1, description="videos that are decoded and encoded together")
    clips_per_batch: int = Field(16, ge=1, description="clips in one pass of the encoder")
    encoders: int | None = Field(None, ge=1, description="encoder processes; by default one per GPU or CPU")
    encoder_cpus: float = Field(0.75, gt=0, description="CPUs that one encoder process books")
    encoder_gpus: float = Field(1.0, ge=0, description="GPUs that one encoder books where there are any")
    decode_cpus: float = Field(0.25, gt=0, description="CPUs that one decoding task books")


@dataclass(frozen=True)
class EmbeddingSettings:
    """Everything about one embedding but the videos; travels to the workers."""

    encoder: EncoderConfig
    clips: ClipsConfig
    views: ViewsConfig
    tokens: TokensConfig
    decoding: DecodingConfig
    embedding: EmbeddingConfig
    max_failures: float = 0.01


class EncodeParts:
    """An actor that holds the encoder, turns decoded parts into tokens and writes them to the store."""

    def __init__(self, store: TokenStore, settings: EmbeddingSettings) -> None:
        # One thread on the CPU: sums that are split among threads differ in their last bits.
        torch.set_num_threads(1)
        self.store = store
        self.settings = settings
        self.encoder = load_encoder(settings.encoder)
        self._idle_since = time.perf_counter()

    def __call__(self, batch: pa.Table) -> pa.Table:
        started = time.perf_counter()
        part = batch["part"][0].as_py()
        failures = [
            VideoFailure(row["video_id"], part, "decode", row["reason"], row["fingerprint"])
            for row in batch.select(["video_id", "reason", "fingerprint"]).to_pylist()
            if row["reason"]
        ]
        videos = [index for index in range(len(batch)) if batch["size"][index][0].as_py()]
        tokens = self._encode(batch, videos)
        rows = []
        for index in videos:
            video_id, found = batch["video_id"][index].as_py(), tokens[index]
            if isinstance(found, str):
                failures.append(VideoFailure(video_id, part, "encode", found, "encoded"))
            else:
                views = zip(self.store.header.views, found, strict=True)
                rows += [TokenRow(video_id, view, value) for view, value in views]
        self.store.write_part(part, rows, failures)
        ended = time.perf_counter()
        summary = {
            "part": part,
            "videos": len(batch),
            "failures": [asdict(failure) for failure in failures],
            "waited_s": started - self._idle_since,
            "worked_s": ended - started,
        }
        self._idle_since = ended
        return pa.Table.from_pylist([summary], schema=_SUMMARY)

    def _groups(self, videos: Sequence[int], views: int) -> list[Sequence[int]]:
        """Videos whose clips share a pass: always the same ones, since a pass decides the last bits."""
        size = max(1, self.settings.embedding.clips_per_batch // (views * self.settings.clips.segments))
        return [videos[start : start + size] for start in range(0, len(videos), size)]

    def _encode(self, batch: pa.Table, videos: Sequence[int]) -> dict[int, list[torch.Tensor] | str]:
        """The 16-bit tokens `[segments, t, h, w, D]` of each view of a video, or why they must not be used.

        The clean views are encoded as if there were no augmented passes, so that theirs are the same bits.
        """
        found: dict[int, list[torch.Tensor] | str] = {index: [] for index in videos}
        dtype = self.store.header.dtype
        # One augmented pass after the other: clips as the encoder takes them need more room than tokens.
        for number in range(self.settings.views.train + 1):
            for group in self._groups(videos, 1 if number else len(self.store.header.clean_views)):
                clips = [self._clips(batch, index, number) for index in group]
                for index, tokens in zip(group, self._encode_group(clips), strict=True):
                    known = found[index]
                    if isinstance(known, str):
                        continue
                    reason = unusable(tokens, dtype)
                    # To 16 bits as the store rounds them, off the device.
                    found[index] = reason or [*known, *tokens.to(DTYPES[dtype]).cpu()]
        return found

    def _encode_group(self, clips: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Pooled tokens `float[V, segments, t, h, w, D]` of the clips of each video of a group."""
        views, segments = clips[0].shape[:2]
        together = torch.cat([each.flatten(0, 1) for each in clips])
        tokens = encode_clips(self.encoder, together, self.settings.embedding.clips_per_batch)
        tokens = tokens.view(len(clips), views, segments, *tokens.shape[1:])
        return [pool_tokens(video, self.store.header.pool) for video in tokens]

    def _clips(self, batch: pa.Table, index: int, number: int) -> torch.Tensor:
        """`float32[V, segments, 3, T, R, R]` of one video, on the encoder's device.

        Its clean views, or with a number above 0 that augmented pass alone.
        """
        spec, device = self.encoder.spec, self.encoder.device
        size = batch["size"][index].as_py()
        pixels = np.frombuffer(batch["pixels"][index].as_buffer(), np.uint8)
        frames = torch.from_numpy(pixels.copy()).view(*size, 3).to(device)
        plans = torch.tensor(batch["clips"][index].as_py()).view(-1, self.settings.clips.segments, spec.frames)
        norm: dict[str, Any] = {"resolution": spec.resolution, "mean": spec.mean, "std": spec.std}
        if number:
            maker = PassMaker(self.settings.views.augmentation, **norm)
            video_id = batch["video_id"][index].as_py()
            return maker.clips(frames, plans[number], video_id=video_id, number=number)[None]
        return evaluation_clips(frames, plans[0].to(device), self.settings.views, **norm)


_SUMMARY = pa.schema(
    {
        "part": pa.int64(),
        "videos": pa.int64(),
        "failures": pa.list_(
            pa.struct(
                {
                    "video_id": pa.string(),
                    "part": pa.int64(),
                    "stage": pa.string(),
                    "reason": pa.string(),
                    "fingerprint": pa.string(),
                }
            )
        ),
        "waited_s": pa.float64(),
        "worked_s": pa.float64(),
    }
)
