"""How fast this machine embeds: its encoder beside a matrix product, and the whole road from files to the store."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import torch

from distributed.benchmark_decoding import CLIPS, VIEWS
from distributed.clips import ClipsConfig
from distributed.decoding import DecodingConfig
from distributed.embedding import EmbeddingProgress, embed
from distributed.embedding_plan import compute_dtype, device_name, encoder_seconds
from distributed.embedding_progress import EmbeddingWork
from distributed.embedding_workers import EmbeddingConfig, EmbeddingSettings
from distributed.encoders import EncoderConfig, EncoderSpec, encoder_spec, flops_per_clip, load_encoder
from distributed.encoders.vjepa import SHAPES
from distributed.encoders.weights import write_weights
from distributed.encoding import fitting_pass
from distributed.manifest import Manifest
from distributed.storage import Storage
from distributed.store_plan import plan_store
from distributed.token_store import TokensConfig, TokenStore

_SIDES = {"cpu": 2048, "cuda": 8192}  # of the square matrices


@dataclass(frozen=True)
class EncodingMeasured:
    """Clips a second of an encoder on its device, and the rate of a matrix product there, both in `dtype`.

    Passes of `clips` clips took `clip_s` a clip at best; `product_flops` is in floating-point operations a second.
    """

    device: str
    dtype: str
    clips: int
    clip_s: float
    flops_per_clip: int
    product_flops: float

    @property
    def flops(self) -> float:
        """Floating-point operations a second."""
        return self.flops_per_clip / self.clip_s


def random_weights(folder: Path, name: str) -> Path:
    """A weights file of a V-JEPA shape with random numbers: good for measuring speed, and for nothing else."""
    path = folder / f"{name}.safetensors"
    write_weights(path, SHAPES[name].build())
    return path


def clips_for(spec: EncoderSpec) -> ClipsConfig:
    """The published plan of clips, with as many frames as the encoder takes; one of single images takes any number."""
    return CLIPS if spec.frames == 1 else replace(CLIPS, frames_per_clip=spec.frames)


def measure_encoding(config: EncoderConfig, most_clips: int, rounds: int) -> EncodingMeasured:
    """Passes over random clips, as many in a pass as memory holds, and matrix products, in turn; the best of each."""
    encoder = load_encoder(config)
    spec, device, dtype = encoder.spec, encoder.device, compute_dtype(encoder)
    frames = clips_for(spec).frames_per_clip
    size = fitting_pass(encoder, most_clips, frames)
    clips = torch.randn(size, 3, frames, spec.resolution, spec.resolution, device=device)
    side = _SIDES[device.type]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    seconds, products = [], []
    for _ in range(rounds):
        products.append(_product_seconds(a, b))
        seconds.append(encoder_seconds(encoder, clips) / size)
    return EncodingMeasured(
        device=device_name(encoder),
        dtype=str(dtype).removeprefix("torch."),
        clips=size,
        clip_s=min(seconds),
        flops_per_clip=flops_per_clip(config, frames),
        product_flops=2 * side**3 / min(products),
    )


def _product_seconds(a: torch.Tensor, b: torch.Tensor) -> float:
    began = time.perf_counter()
    a @ b
    if a.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def measure_road(folder: Path, video: Path, config: EncoderConfig, videos: int) -> tuple[EmbeddingWork, float]:
    """Embed as many links to a video into a store in `folder`, by the real graph; needs Ray.

    Returns what was done, and the seconds of the whole, from starting the workers to the sealed store.
    """
    paths = [folder / f"{number:04d}{video.suffix}" for number in range(videos)]
    for path in paths:
        path.symlink_to(video.absolute())
    table = {"video_id": [path.stem for path in paths], "path": list(map(str, paths)), "dataset": ["links"] * videos}
    manifest = Manifest(pa.table(table), ())
    settings = EmbeddingSettings(
        config, clips_for(encoder_spec(config)), VIEWS, TokensConfig(), DecodingConfig(), EmbeddingConfig()
    )
    store = TokenStore(Storage.at(folder / "tokens"), plan_store(manifest, settings))
    last = EmbeddingProgress(0, videos, 0)

    def on_progress(state: EmbeddingProgress) -> None:
        nonlocal last
        last = state

    began = time.perf_counter()
    embed(store, manifest, settings, on_progress)
    return last.work, time.perf_counter() - began
