"""`fersweep embed`: every video once through the encoder, into the token store."""

from __future__ import annotations

from distributed.cluster import ray_session, total_resources
from distributed.embedding import EmbeddingProgress, check_room, embed
from distributed.errors import UserError
from distributed.manifest import Manifest
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.progress import progress

# Parts of a header that follow from the others: nothing that a user set.
_DERIVED = ("shape", "parts_per_shard", "format_version", "num_videos")


def embed_videos(context: Context, manifest: Manifest) -> TokenStore:
    """Fill the token store; does nothing when it is complete."""
    store = context.store(manifest)
    header = store.header
    chosen = {key: value for key, value in header.to_json().items() if key not in _DERIVED}
    with context.workspace.stage("embed", chosen, done=store.complete):
        store.create()
        needed = check_room(store)
        clean = len(header.clean_views)
        passes = f" and {len(header.views) - clean} augmented passes" if len(header.views) > clean else ""
        context.say(
            f"embed: {header.num_videos} videos x {clean} views{passes} with {header.encoder['name']}, "
            f"{header.predicted_bytes / 1e6:.1f} MB of tokens, {needed / 1e6:.1f} MB of them to make"
        )
        with ray_session(context.experiment.cluster), progress(context.console, "embed") as report:
            if context.experiment.encoder.device == "cuda" and not total_resources()[1]:
                raise UserError("encoder.device is cuda, and Ray finds no GPU here; set it to auto or cpu")

            def on_progress(state: EmbeddingProgress) -> None:
                report(state.done, state.total, state.failed)

            embed(store, manifest, context.experiment.embedding_settings, on_progress)
    for failure in store.failures():
        context.say(f"  failed: {failure.video_id}: {failure.reason}")
    return store
