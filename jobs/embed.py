"""`fersweep embed`: every video once through the encoder, into the token store."""

from __future__ import annotations

from distributed.cluster import ray_session, total_resources
from distributed.embedding import EmbeddingProgress, check_room, embed, rows_of_parts
from distributed.embedding_progress import EmbeddingWork
from distributed.errors import UserError
from distributed.manifest import Manifest
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.plan import short_plan
from jobs.progress import progress

# Parts of a header that follow from the others: nothing that a user set.
_DERIVED = ("shape", "parts_per_shard", "format_version", "num_videos")


def embed_videos(context: Context, manifest: Manifest) -> TokenStore:
    """Fill the token store; does nothing when it is complete."""
    store = context.store(manifest)
    header = store.header
    chosen = {key: value for key, value in header.to_json().items() if key not in _DERIVED}
    with context.workspace.stage("embed", chosen, done=store.complete) as measured:
        store.create()
        needed = check_room(store)
        clean = len(header.clean_views)
        views = f"{clean} views" if clean > 1 else "1 view"
        if passes := len(header.views) - clean:
            views += f" and {passes} augmented pass{'es' if passes > 1 else ''}"
        context.say(
            f"embed: {header.num_videos} videos x {views} with {header.encoder['name']}, "
            f"{header.predicted_bytes / 1e6:.1f} MB of tokens, {needed / 1e6:.1f} MB of them to make"
        )
        left = len(rows_of_parts(header, store.missing_parts()))
        if left:
            context.say(short_plan(header, left, context.experiment.encoder))
        with ray_session(context.experiment.cluster), progress(context.console, "embed") as report:
            if context.experiment.encoder.device == "cuda" and not total_resources()[1]:
                raise UserError("encoder.device is cuda, and Ray finds no GPU here; set it to auto or cpu")
            told = EmbeddingWork()

            def on_progress(state: EmbeddingProgress) -> None:
                nonlocal told
                report(state.done, state.total, state.failed)
                told = state.work
                measured.update(told.totals)

            embed(store, manifest, context.experiment.embedding_settings, on_progress)
    for line in _work_done(told, context.experiment.embedding.clips_per_batch):
        context.say(line)
    for failure in store.failures():
        context.say(f"  failed: {failure.video_id}: {failure.reason}")
    return store


def _work_done(work: EmbeddingWork, wanted: int | str) -> list[str]:
    """What the encoders say of their time; nothing where there was nothing to do."""
    if not work.clips:
        return []
    lines = [
        f"  decoded {work.frames} frames, encoded {work.clips} clips in passes of {work.clips_per_batch}; "
        f"encoders waited for decoding {work.waiting} of their time"
    ]
    if isinstance(wanted, int) and work.clips_per_batch < wanted:
        lines.append(
            f"  embedding.clips_per_batch is {wanted}, and an encoder's memory held only {work.clips_per_batch}: "
            "it went on with passes of that size"
        )
    return lines
