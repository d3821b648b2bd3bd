"""`fersweep embed --plan`: what an embedding will cost, before anything of it is done."""

from __future__ import annotations

from distributed.cluster import ray_session
from distributed.embedding_plan import EmbeddingPlan, plan_embedding
from distributed.encoders import EncoderConfig, flops_per_clip
from distributed.token_store import StoreHeader
from jobs.context import Context


def plan(context: Context) -> None:
    """Measure a few videos and a batch, and say what the missing part of the store will take; writes nothing."""
    manifest = context.manifest()
    store = context.store(manifest)
    if store.complete:
        context.say(f"plan: nothing is left to embed, {store.storage.uri} is complete")
        return
    with ray_session(context.experiment.cluster):
        settings, seed = context.experiment.embedding_settings, context.experiment.seed
        found = plan_embedding(store, manifest, settings, seed=seed)
    for line in plan_lines(found, store.header):
        context.say(line)


def plan_lines(plan: EmbeddingPlan, header: StoreHeader) -> list[str]:
    """The plan in words: each number with where it comes from."""
    of, views = plan.measured, len(header.views)
    sample = f"measured: {of.sampled} of {plan.videos} videos, chosen by the experiment's seed"
    failed = f"; {of.undecoded} of them did not decode" if of.undecoded else ""
    rate = 1 / of.clip_s if of.clip_s else 0.0
    batch = f"measured: {of.clips_in_batch} real clips in one pass"
    return [
        f"plan: {plan.videos} of {header.num_videos} videos x {views} view{'s' if views > 1 else ''} "
        f"x {plan.clips // (plan.videos * views)} "
        f"segments = {plan.clips} clips",
        f"  frames to keep: {plan.frames}, {of.frames:.1f} of {of.length:.1f} a video ({sample}{failed})",
        f"  bytes to the encoders: {_size(plan.pixel_bytes)} of 8-bit pixels (measured: the same videos)",
        f"  arithmetic: {_flops(plan.flops)}, {_flops(plan.flops_per_clip)} a clip (from the encoder's shape)",
        f"  token store: {_size(plan.store_bytes)} (exact, where no video fails)",
        f"  decoding: {of.decode_s:.3f} s a video and core, {plan.decode_hours:.2f} core-hours "
        "(measured: the same videos)",
        f"  encoding: {rate:.1f} clips/s, {_flops(rate * plan.flops_per_clip)}/s on {of.device} "
        f"in {of.dtype} ({batch})",
        f"  expected: {plan.hours:.2f} hours with {plan.encoders} encoders and {plan.cpus:g} CPUs "
        "(assumed: all of them as fast as the measured one, and nothing else running)",
    ]


def short_plan(header: StoreHeader, videos: int, encoder: EncoderConfig) -> str:
    """What follows from the settings alone, for the beginning of the work."""
    frames = header.clips["frames_per_clip"]
    clips, flops = videos * len(header.views) * header.clips["segments"], flops_per_clip(encoder, frames)
    most = header.clips["segments"] * frames
    return (
        f"  to do: {videos} videos, {clips} clips, {_flops(clips * flops)}, at most {most} frames a video "
        "(`fersweep embed --plan` measures frames and hours)"
    )


def _size(number: float) -> str:
    return _scaled(number, 1000, ("bytes", "kB", "MB", "GB", "TB", "PB"))


def _flops(number: float) -> str:
    return _scaled(number / 1e6, 1000, ("MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP"))


def _scaled(number: float, step: float, units: tuple[str, ...]) -> str:
    for unit in units[:-1]:
        if number < step:
            return f"{number:.4g} {unit}"
        number /= step
    return f"{number:.4g} {units[-1]}"
