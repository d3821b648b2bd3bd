"""`fersweep benchmark embed`: how fast this machine embeds, beside the reference's way of reading videos."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from distributed.benchmark_decoding import KINDS, DecodingMeasured, make_video, measure_decoding
from distributed.benchmark_embed import EncodingMeasured, measure_encoding, measure_road, random_weights
from distributed.cluster import ClusterConfig, ray_session
from distributed.embedding_progress import EmbeddingWork
from distributed.encoders import TINY, EncoderConfig
from distributed.encoders.model_folder import PREFIX
from distributed.errors import UserError
from jobs.progress import progress

_CLIPS_OF_VIDEO = 24
_ROAD_S, _MOST_VIDEOS = 20.0, 48  # the whole road is measured for about so long


def benchmark_embed(
    encoder: str, weights: str | None, video: Path | None, console: Console, *, resolution: int, rounds: int
) -> None:
    """Measure and print: decoding per core, the encoder on its device, and the whole road into a store.

    Decoding is measured for crops of `resolution` pixels, the other two for the encoder's own.

    Raises:
        UserError: there is no such video or encoder, or the video cannot be decoded.
    """
    if video is not None and not video.is_file():
        raise UserError(f"--video: there is no file {video}; leave it out to measure generated ones")
    random = weights is None and encoder != TINY and not encoder.startswith(PREFIX)
    EncoderConfig(encoder, "random" if random else weights)  # refuses an unknown name before anything is made
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="fersweep-") as name:
        folder = Path(name)
        if random:
            console.print(f"{encoder}: random weights, for speed only", soft_wrap=True)
            weights = str(random_weights(folder, encoder))
        config = EncoderConfig(encoder, weights)
        if config.is_huggingface and Path(place := encoder.removeprefix(PREFIX)).is_dir():
            config = config.at(place)  # workers have another working directory
        videos = [make_video(folder, kind) for kind in KINDS] if video is None else [video]
        decoding = _decoding(videos, resolution, rounds, console)
        console.print(
            f"8 segments of 16 frames, 3 views of {resolution} pixels; the best of {rounds} rounds on both sides"
        )
        console.print(_decoding_table(decoding))
        encoding = measure_encoding(config, 32, rounds)
        console.print(_encoding_text(encoder, encoding), soft_wrap=True)
        count = min(_MOST_VIDEOS, int(_ROAD_S / (encoding.clip_s * _CLIPS_OF_VIDEO)) // 4 * 4)
        if not count:
            text = f"four videos would take {4 * _CLIPS_OF_VIDEO * encoding.clip_s:.0f} s here"
            console.print(f"whole road: not measured, {text}", soft_wrap=True)
            return
        with ray_session(ClusterConfig()):
            work, seconds = measure_road(folder, videos[0], config, count)
        console.print(_road_text(count, work, seconds), soft_wrap=True)


def _decoding(videos: list[Path], resolution: int, rounds: int, console: Console) -> list[DecodingMeasured]:
    found, done = [], 0
    with progress(console, "decoding") as report:

        def on_round() -> None:
            nonlocal done
            done += 1
            report(done, rounds * len(videos), 0)

        for path in videos:
            try:
                found.append(measure_decoding(path, resolution, rounds, on_round))
            except ValueError as error:
                raise UserError(f"--video: {error}") from error
    return found


def _decoding_table(found: list[DecodingMeasured]) -> Table:
    table = Table("per core", "frames/s", "s a video", "reference s", "ratio", "its pixels alone", "same clips")
    for one in found:
        numbers = (f"{one.frames / one.seconds:.0f}", f"{one.seconds:.3f}", f"{one.reference_s:.3f}")
        ratios = (f"{one.ratio:.1f}x", f"{one.reference_pixels_s / one.seconds:.1f}x")
        table.add_row(one.video, *numbers, *ratios, "yes" if one.same_clips else "NO")
    return table


def _encoding_text(encoder: str, found: EncodingMeasured) -> str:
    share = found.flops / found.product_flops
    return (
        f"{encoder} on {found.device} in {found.dtype}, passes of {found.clips}: {1 / found.clip_s:.2f} clips/s, "
        f"{found.flops / 1e12:.3f} TFLOP/s, {share:.0%} of a matrix product's {found.product_flops / 1e12:.3f} TFLOP/s"
    )


def _road_text(videos: int, work: EmbeddingWork, seconds: float) -> str:
    return (
        f"whole road: {videos} videos, {work.frames} frames, {work.clips} clips in {seconds:.1f} s, workers' start "
        f"included; {work.token_bytes / 1e6:.0f} MB of tokens, written at {work.token_bytes / work.wrote_s / 1e6:.0f} "
        f"MB/s; encoders waited for decoding {work.waiting} of their time"
    )
