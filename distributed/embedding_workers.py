"""What the encoders of an embedding do: turn a part's decoded frames into tokens and write them to the store."""

from __future__ import annotations

import time
import uuid
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator

from distributed.augmentation import PassMaker
from distributed.clips import ClipsConfig
from distributed.decode_task import TrainingPasses, fingerprint, worker_name
from distributed.decoding import DecodingConfig
from distributed.encoder_deaths import REASON, given_up
from distributed.encoders import Encoder, EncoderConfig, load_encoder
from distributed.encoding import CLIPS_IN_PASS, DTYPES, compiled, encode_clips, extremes, regroup, unusable_range
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
    clips_per_batch: int | Literal["auto"] = Field("auto", description="clips in one pass of the encoder")
    encoders: int | None = Field(None, ge=1, description="encoder processes; by default one per GPU or CPU")
    encoder_cpus: float = Field(0.75, gt=0, description="CPUs that one encoder process books")
    encoder_gpus: float = Field(1.0, ge=0, description="GPUs that one encoder books where there are any")
    decode_cpus: float | None = Field(
        None, gt=0, description="CPUs that one decoding task books; by default one beside GPUs, else a quarter"
    )
    compile: bool = Field(False, description="compile the encoder's passes with torch.compile")

    @field_validator("clips_per_batch")
    @classmethod
    def _at_least_one(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError(f"clips_per_batch is {value}; it must be at least 1, or auto")
        return value

    @property
    def clips_in_pass(self) -> int:
        """Clips of a pass where no store says how many its device holds."""
        return CLIPS_IN_PASS if self.clips_per_batch == "auto" else self.clips_per_batch


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

    @property
    def passes(self) -> TrainingPasses:
        """The augmented passes, as decoding needs to know them."""
        return TrainingPasses(self.views.train, self.views.augmentation.seed)


# Pooled tokens `[V, segments, t, h, w, D]` in the store's 16 bits, and their extremes.
_Encoded = tuple[torch.Tensor, torch.Tensor]


class EncodeParts:
    """An actor that holds the encoder, turns decoded parts into tokens and writes them to the store.

    `deaths`: the graph's `EncoderDeaths`, where Ray restarts the actor.
    """

    def __init__(
        self, store: TokenStore, settings: EmbeddingSettings, clips_per_batch: int, deaths: Any = None
    ) -> None:
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
        share_gpu(self.encoder, settings.embedding)
        self.clips_per_batch = clips_per_batch
        if settings.embedding.compile:
            self.encoder = compiled(self.encoder, clips_per_batch, settings.clips.frames_per_clip)
        self._deaths = deaths
        self._name = uuid.uuid4().hex
        self._idle_since = time.perf_counter()

    def __call__(self, batch: pa.Table) -> pa.Table:
        started = time.perf_counter()
        part = batch["part"][0].as_py()
        failures = [
            VideoFailure(row["video_id"], part, "decode", row["reason"], row["fingerprint"])
            for row in batch.select(["video_id", "reason", "fingerprint"]).to_pylist()
            if row["reason"]
        ]
        sizes = batch["size"].to_pylist()
        videos = [index for index, size in enumerate(sizes) if size[0]]
        if self._deaths is not None:
            ids = [batch["video_id"][index].as_py() for index in videos]
            lost = given_up(self._deaths, part, ids, lambda place: self._encoded(batch, [videos[place]]))
            failures += [_given_up(batch, videos[place], REASON) for place in sorted(lost)]
            videos = [index for place, index in enumerate(videos) if place not in lost]
        rows = []
        for index, views in zip(videos, self._encoded(batch, videos), strict=True):
            reasons = [unusable_range(found, self.store.header.dtype) for _, found in views]
            if reason := next(filter(None, reasons), ""):
                failures.append(_given_up(batch, index, reason))
            else:
                video_id = batch["video_id"][index].as_py()
                values = chain.from_iterable(tokens for tokens, _ in views)
                named = zip(self.store.header.views, values, strict=True)
                rows += [TokenRow(video_id, view, value) for view, value in named]
        encoded = time.perf_counter()
        self.store.write_part(part, rows, failures)
        if self._deaths is not None:
            self._deaths.end.remote(part)
        ended = time.perf_counter()
        summary = {
            "part": part,
            "videos": len(batch),
            "failures": [asdict(failure) for failure in failures],
            "encoder": self._name,
            "frames": sum(size[0] for size in sizes),
            "clips": len(videos) * len(self.store.header.views) * self.settings.clips.segments,
            "token_bytes": len(rows) * self.store.header.row_bytes,
            "clips_per_batch": self.clips_per_batch,
            "waited_s": started - self._idle_since,
            "worked_s": ended - started,
            "wrote_s": ended - encoded,
            "encoded_on": worker_name(),
            "encode_ended": time.time(),
            "decoded_on": batch["decoded_on"][0].as_py(),
            "decode_started": pc.min(batch["decode_started"]).as_py(),
            "decode_ended": pc.max(batch["decode_ended"]).as_py(),
        }
        self._idle_since = ended
        return pa.Table.from_pylist([summary], schema=_SUMMARY)

    def _encoded(self, batch: pa.Table, videos: Sequence[int]) -> list[tuple[_Encoded, ...]]:
        """Of each video its clean views and then each augmented pass.

        The clean views of all videos come first, as if there were no augmented passes, so that theirs are the same
        bits. On a GPU everything is queued before the first result is waited for: it never waits for the host.
        """
        passes = [list(self._encoded_pass(batch, videos, number)) for number in range(self.settings.views.train + 1)]
        if self.encoder.device.type == "cuda":
            torch.cuda.synchronize()
        return list(zip(*passes, strict=True))

    def _encoded_pass(self, batch: pa.Table, videos: Sequence[int], number: int) -> Iterator[_Encoded]:
        """The encoder's passes run on from one video to the next: always the same ones, since a pass of the encoder
        decides the last bits.
        """
        views, segments = 1 if number else len(self.store.header.clean_views), self.settings.clips.segments
        clips = (self._clips(batch, index, number).flatten(0, 1) for index in videos)
        encoded = (self._tokens(group) for group in regroup(clips, self.clips_per_batch))
        for tokens in regroup(encoded, views * segments):
            pooled = pool_tokens(tokens.view(views, segments, *tokens.shape[1:]), self.store.header.pool)
            yield _to_host(pooled.to(DTYPES[self.store.header.dtype])), _to_host(extremes(pooled))

    def _tokens(self, clips: torch.Tensor) -> torch.Tensor:
        def on_smaller(size: int) -> None:
            self.clips_per_batch = min(size, self.clips_per_batch)

        return encode_clips(self.encoder, clips, self.clips_per_batch, on_smaller)

    def _clips(self, batch: pa.Table, index: int, number: int) -> torch.Tensor:
        """`float32[V, segments, 3, T, R, R]` of one video, on the encoder's device.

        Its clean views, or with a number above 0 that augmented pass alone.
        """
        spec, device = self.encoder.spec, self.encoder.device
        size = batch["size"][index].as_py()
        pixels = np.frombuffer(batch["pixels"][index].as_buffer(), np.uint8)
        with warnings.catch_warnings():  # they lie in the object store and are only read
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            frames = torch.from_numpy(pixels).view(*size, 3)
        if device.type == "cuda":
            frames = frames.pin_memory().to(device, non_blocking=True)
        clips = self.settings.clips
        plans = torch.tensor(batch["clips"][index].as_py()).view(-1, clips.segments, clips.frames_per_clip)
        norm: dict[str, Any] = {"resolution": spec.resolution, "mean": spec.mean, "std": spec.std}
        if number:
            maker = PassMaker(self.settings.views.augmentation, **norm)
            video_id = batch["video_id"][index].as_py()
            return maker.clips(frames, plans[number], video_id=video_id, number=number)[None]
        return evaluation_clips(frames, plans[0].to(device), self.settings.views, **norm)


def _given_up(batch: pa.Table, index: int, reason: str) -> VideoFailure:
    """The failure of a video that was decoded and cannot be encoded."""
    part, video_id, path = (batch[name][index].as_py() for name in ("part", "video_id", "path"))
    return VideoFailure(video_id, part, "encode", reason, fingerprint(path))


def share_gpu(encoder: Encoder, config: EmbeddingConfig) -> None:
    """Keep an encoder that books a part of a GPU to that part of its memory: others hold the rest."""
    if encoder.device.type == "cuda" and 0 < config.encoder_gpus < 1:
        torch.cuda.set_per_process_memory_fraction(config.encoder_gpus)


def _to_host(tensor: torch.Tensor) -> torch.Tensor:
    """A copy in pinned memory that is only begun where `tensor` lies on a GPU."""
    if tensor.device.type != "cuda":
        return tensor
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)


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
        "encoder": pa.string(),
        "frames": pa.int64(),
        "clips": pa.int64(),
        "token_bytes": pa.int64(),
        "clips_per_batch": pa.int64(),
        "waited_s": pa.float64(),
        "wrote_s": pa.float64(),
        "worked_s": pa.float64(),
        "encoded_on": pa.string(),
        "encode_ended": pa.float64(),
        "decoded_on": pa.string(),
        "decode_started": pa.float64(),
        "decode_ended": pa.float64(),
    }
)
