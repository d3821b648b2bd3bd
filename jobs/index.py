"""`fersweep index`: list the videos."""

from __future__ import annotations

from distributed.errors import UserError
from distributed.manifest import Manifest, build_manifest
from jobs.context import Context


def index(context: Context) -> Manifest:
    """List the videos anew and keep the manifest; says whether anything changed."""
    settings = context.experiment.data.model_dump(mode="json", exclude={"max_failures"})
    before = _listed_before(context)
    with context.workspace.stage("index", settings, done=before is not None):
        manifest = build_manifest(context.experiment.data)
        if manifest != before:
            manifest.save(context.manifest_folder)
    if before is not None and before.content_hash != manifest.content_hash:
        old, new = set(before.table["video_id"].to_pylist()), set(manifest.table["video_id"].to_pylist())
        context.say(f"index: the list is another one: {len(new - old)} videos came, {len(old - new)} went")
    actors = len(set(manifest.table["actor"].to_pylist()))
    context.say(
        f"index: {len(manifest.table)} videos of {actors} actors in {len(manifest.label_names)} classes "
        f"({manifest.content_hash[:12]})"
    )
    for skipped in manifest.skipped[:5]:
        context.say(f"  not used: {skipped.path}: {skipped.reason}")
    if len(manifest.skipped) > 5:
        context.say(
            f"  ... and {len(manifest.skipped) - 5} more, listed in {context.manifest_folder.uri}/manifest.json"
        )
    return manifest


def _listed_before(context: Context) -> Manifest | None:
    """The manifest that is there; one that cannot be read is written anew like one that is missing."""
    try:
        return context.manifest()
    except UserError:
        return None
