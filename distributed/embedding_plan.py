"""What an embedding will cost, counted before it is done: frames, bytes, arithmetic, hours and the store's size.

Clips, arithmetic and bytes of the store follow from the settings. Frames and rates are measured on a few of the real
videos and one real batch, on one of the devices that will do the work.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import ray
import torch

from distributed.augmentation import PassMaker
from distributed.cluster import errors_of_workers, total_resources
from distributed.cropping import Crops
from distributed.decode_task import decode_row
from distributed.decoding import DecodedVideo, Decoder
from distributed.embedding import decode_cpus, encoder_pool, num_encoders, rows_of_parts
from distributed.embedding_workers import EmbeddingSettings, share_gpu
from distributed.encoders import Encoder, flops_per_clip, load_encoder
from distributed.encoding import encode_clips, regroup
from distributed.face_boxes import crops_of
from distributed.manifest import Manifest
from distributed.token_store import TokenStore
from distributed.views import evaluation_clips, short_side

SAMPLE = 5
_LONG_S = 0.5  # a clip that takes longer tells as much as a batch of them


@dataclass(frozen=True)
class Measured:
    """A few videos decoded and a batch of their clips encoded: means per video, and seconds of one core or device.

    `frames` are kept and travel, `length` is that of the videos, both in frames; `pixels` are the bytes that go to
    the device. `undecoded` of the `sampled` videos gave nothing. Rates are 0 where every video failed.
    """

    sampled: int
    undecoded: int
    frames: float
    length: float
    pixels: float
    decode_s: float
    clip_s: float
    clips_in_batch: int
    device: str
    dtype: str


@dataclass(frozen=True)
class EmbeddingPlan:
    """The work that is left of a store. Hours assume every device to be as fast as the one that was measured."""

    videos: int
    clips: int
    flops_per_clip: int
    store_bytes: int
    measured: Measured
    encoders: int
    cpus: float
    decode_cores: float
    shared_cores: bool

    @property
    def frames(self) -> int:
        return round(self.measured.frames * self.videos)

    @property
    def pixel_bytes(self) -> int:
        return round(self.measured.pixels * self.videos)

    @property
    def flops(self) -> int:
        return self.flops_per_clip * self.clips

    @property
    def decode_hours(self) -> float:
        """Core-hours of decoding."""
        return self.measured.decode_s * self.videos / 3600

    @property
    def encode_hours(self) -> float:
        """Hours of one encoder."""
        return self.measured.clip_s * self.clips / 3600

    @property
    def hours(self) -> float:
        """On cores that they share, decoding and encoding add up; beside GPUs the slower one decides."""
        if self.shared_cores:
            return (self.decode_hours + self.encode_hours) / self.cpus
        return max(self.decode_hours / self.decode_cores, self.encode_hours / self.encoders)


def plan_embedding(
    store: TokenStore, manifest: Manifest, settings: EmbeddingSettings, *, seed: int, sample: int = SAMPLE
) -> EmbeddingPlan:
    """Count what is missing in the store, and measure `sample` of its videos on a worker like those of the embedding.

    Raises:
        UserError: the encoder's weights do not fit.
    """
    header, config = store.header, settings.embedding
    missing = store.missing_parts()
    rows = rows_of_parts(header, missing)
    chosen = np.sort(np.random.default_rng(seed).choice(rows, min(sample, len(rows)), replace=False))
    videos = manifest.table.select(["video_id", "path"]).take(pa.array(chosen)).to_pylist()
    cpus, gpus = total_resources()
    pool = encoder_pool(config, len(missing))
    booked = {"num_cpus": pool["num_cpus"], "num_gpus": pool["num_gpus"]}
    crops = crops_of(manifest, settings.views)
    with errors_of_workers():
        measured = ray.get(_measure_there.options(**booked).remote(videos, settings, crops))
    encoders = num_encoders(config, len(missing))
    return EmbeddingPlan(
        videos=len(rows),
        clips=len(rows) * len(header.views) * settings.clips.segments,
        flops_per_clip=flops_per_clip(settings.encoder, settings.clips.frames_per_clip),
        store_bytes=len(rows) * len(header.views) * header.row_bytes,
        measured=measured,
        encoders=encoders,
        cpus=cpus,
        decode_cores=max(cpus - encoders * config.encoder_cpus, decode_cpus(config)),
        shared_cores=not gpus,
    )


@ray.remote(max_retries=0, max_calls=1)  # type: ignore[untyped-decorator]
def _measure_there(videos: Sequence[Mapping[str, str]], settings: EmbeddingSettings, crops: Crops) -> Measured:
    torch.set_num_threads(1)  # as the encoders of an embedding
    return measure(videos, settings, crops)


def measure(chosen: Sequence[Mapping[str, str]], settings: EmbeddingSettings, crops: Crops) -> Measured:
    """Decode these videos, each with `video_id` and `path`, and encode clips of theirs, in this process."""
    encoder = load_encoder(settings.encoder)
    share_gpu(encoder, settings.embedding)
    side = short_side(settings.views, encoder.spec.resolution)
    with Decoder(settings.decoding) as decoder:
        for row in chosen[:1]:
            decode_row(decoder, row, settings.clips, side)  # starts the decoding process, which is not counted
        began = time.perf_counter()
        found = [decode_row(decoder, row, settings.clips, side, settings.passes, crops) for row in chosen]
        seconds = time.perf_counter() - began
    videos = [video for video in found if isinstance(video, DecodedVideo)]
    clip_s, batch = _clip_seconds(encoder, videos, settings) if videos else (0.0, 0)
    if videos and settings.views.train:
        clip_s += _augmenting_seconds(encoder, videos[0], settings)
    count = max(1, len(videos))
    return Measured(
        sampled=len(chosen),
        undecoded=len(chosen) - len(videos),
        frames=sum(len(video.frames) for video in videos) / count,
        length=sum(video.num_frames for video in videos) / count,
        pixels=sum(video.frames.nbytes for video in videos) / count,
        decode_s=seconds / max(1, len(chosen)),
        clip_s=clip_s,
        clips_in_batch=batch,
        device=device_name(encoder),
        dtype=str(compute_dtype(encoder)).removeprefix("torch."),
    )


def _clip_seconds(encoder: Encoder, videos: Sequence[DecodedVideo], settings: EmbeddingSettings) -> tuple[float, int]:
    """Seconds of one clip, and how many were encoded together to find out."""
    size = settings.embedding.clips_in_pass
    spec = encoder.spec
    views = (
        evaluation_clips(
            torch.from_numpy(video.frames).to(encoder.device),
            torch.from_numpy(video.clips),
            settings.views,
            resolution=spec.resolution,
            mean=spec.mean,
            std=spec.std,
        ).flatten(0, 1)
        for video in videos
    )
    clips = next(regroup(views, size))
    encoder_seconds(encoder, clips[:1])  # the first one of a process is slower
    single = encoder_seconds(encoder, clips[:1])
    if single > _LONG_S:
        return single, 1
    return min(encoder_seconds(encoder, clips) for _ in range(2)) / len(clips), len(clips)


def _augmenting_seconds(encoder: Encoder, video: DecodedVideo, settings: EmbeddingSettings) -> float:
    """Seconds that augmented passes add to the mean clip of a video, clean ones included."""
    spec, views = encoder.spec, settings.views
    maker = PassMaker(views.augmentation, resolution=spec.resolution, mean=spec.mean, std=spec.std)
    frames = torch.from_numpy(video.frames).to(encoder.device)
    began = time.perf_counter()
    for number, plan in enumerate(video.training_clips, start=1):
        maker.clips(frames, torch.from_numpy(plan), video_id="", number=number)
    if encoder.device.type == "cuda":
        torch.cuda.synchronize()
    every_clip = (len(views.names) + views.train) * settings.clips.segments
    return (time.perf_counter() - began) / every_clip


def encoder_seconds(encoder: Encoder, clips: torch.Tensor) -> float:
    """Seconds of one pass over clips float[B, 3, T, R, R], until its tokens are there."""
    began = time.perf_counter()
    encode_clips(encoder, clips, len(clips))
    if encoder.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def device_name(encoder: Encoder) -> str:
    """What the encoder runs on, as its maker calls it."""
    return torch.cuda.get_device_name(encoder.device) if encoder.device.type == "cuda" else "one CPU thread"


def compute_dtype(encoder: Encoder) -> torch.dtype:
    """The type of the encoder's large products: the narrowest one among its weights."""
    return min((weight.dtype for weight in encoder.module.parameters()), key=lambda dtype: dtype.itemsize)
