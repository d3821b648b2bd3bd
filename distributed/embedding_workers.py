"""What the encoders of an embedding do: turn a part's decoded frames into tokens and write them to the store."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from pydantic import BaseModel, ConfigDict, Field

from distributed.clips import ClipsConfig
from distributed.decode_task import worker_name
from distributed.decoding import DecodingConfig
from distributed.encoders import EncoderConfig, load_encoder
from distributed.encoding import encode_clips, unusable
from distributed.errors import UserError
from distributed.pooling import pool_tokens
from distributed.settings import differences
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
        if changes := differences(store.header.encoder, self.encoder.spec.to_json()):
            raise UserError(
                f"the encoder {settings.encoder.name} is another one on this machine ({'; '.join(changes)}); "
                "give every machine the same files"
            )
        self._idle_since = time.perf_counter()

    def __call__(self, batch: pa.Table) -> pa.Table:
        started = time.perf_counter()
        part = batch["part"][0].as_py()
        failures = [
            VideoFailure(row["video_id"], part, "decode", row["reason"], row["fingerprint"])
            for row in batch.select(["video_id", "reason", "fingerprint"]).to_pylist()
            if row["reason"]
        ]
        rows = []
        videos = [index for index in range(len(batch)) if batch["size"][index][0].as_py()]
        for group in self._groups(videos):
            for index, tokens in zip(group, self._encode(batch, group), strict=True):
                video_id = batch["video_id"][index].as_py()
                reason = unusable(tokens, self.store.header.dtype)
                if reason:
                    failures.append(VideoFailure(video_id, part, "encode", reason, "encoded"))
                else:
                    views = zip(self.store.header.views, tokens, strict=True)
                    rows += [TokenRow(video_id, view, value) for view, value in views]
        self.store.write_part(part, rows, failures)
        ended = time.perf_counter()
        summary = {
            "part": part,
            "videos": len(batch),
            "failures": [asdict(failure) for failure in failures],
            "waited_s": started - self._idle_since,
            "worked_s": ended - started,
            "encoded_on": worker_name(),
            "encode_ended": time.time(),
            "decoded_on": batch["decoded_on"][0].as_py(),
            "decode_started": pc.min(batch["decode_started"]).as_py(),
            "decode_ended": pc.max(batch["decode_ended"]).as_py(),
        }
        self._idle_since = ended
        return pa.Table.from_pylist([summary], schema=_SUMMARY)

    def _groups(self, videos: Sequence[int]) -> list[Sequence[int]]:
        """Videos whose clips share a pass: always the same ones, since a pass decides the last bits."""
        clips = len(self.store.header.views) * self.settings.clips.segments
        size = max(1, self.settings.embedding.clips_per_batch // clips)
        return [videos[start : start + size] for start in range(0, len(videos), size)]

    def _encode(self, batch: pa.Table, group: Sequence[int]) -> list[torch.Tensor]:
        """Pooled tokens `float[V, segments, t, h, w, D]` of each video of the group."""
        clips = torch.cat([self._clips(batch, index).flatten(0, 1) for index in group])
        views, segments = len(self.store.header.views), self.settings.clips.segments
        tokens = encode_clips(self.encoder, clips, self.settings.embedding.clips_per_batch)
        tokens = tokens.view(len(group), views, segments, *tokens.shape[1:])
        return [pool_tokens(video, self.store.header.pool) for video in tokens]

    def _clips(self, batch: pa.Table, index: int) -> torch.Tensor:
        """One video's views, `float32[V, segments, 3, T, R, R]`, on the encoder's device."""
        spec = self.encoder.spec
        size = batch["size"][index].as_py()
        pixels = np.frombuffer(batch["pixels"][index].as_buffer(), np.uint8)
        frames = torch.from_numpy(pixels.copy()).view(*size, 3).to(self.encoder.device)
        positions = torch.tensor(batch["clips"][index].as_py()).view(self.settings.clips.segments, -1)
        return evaluation_clips(
            frames,
            positions.to(self.encoder.device),
            self.settings.views,
            resolution=spec.resolution,
            mean=spec.mean,
            std=spec.std,
        )


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
        "encoded_on": pa.string(),
        "encode_ended": pa.float64(),
        "decoded_on": pa.string(),
        "decode_started": pa.float64(),
        "decode_ended": pa.float64(),
    }
)
TIMES = tuple(name for name in _SUMMARY.names if name != "failures")  # of a summary: what a timeline is made of
