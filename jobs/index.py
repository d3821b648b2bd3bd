"""`fersweep index`: list the videos."""

from __future__ import annotations

from distributed.duplicates import SameVideos, find_duplicates, listed, refuse_leaks
from distributed.errors import UserError
from distributed.manifest import Manifest, build_manifest
from jobs.context import Context


def index(context: Context) -> Manifest:
    """List the videos anew and keep the manifest; says whether anything changed."""
    settings = context.experiment.data.model_dump(mode="json", exclude={"max_failures", "duplicates"})
    before = _listed_before(context)
    with context.workspace.stage("index", settings, done=before is not None):
        manifest = build_manifest(context.experiment.data)
        doubles = _duplicates(context, manifest)
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
    if doubles:
        context.say(f"  warning: videos that are there under several names: {len(doubles)}\n{listed(doubles)}")
    return manifest


def _duplicates(context: Context, manifest: Manifest) -> list[SameVideos]:
    """Videos with the same content; those of different actors are refused before anything is made of them."""
    if context.experiment.data.duplicates == "ignore":
        return []
    found = find_duplicates(manifest, context.manifest_folder)
    if context.experiment.data.duplicates == "error":
        refuse_leaks(found, context.experiment.data.root)
    return found


def _listed_before(context: Context) -> Manifest | None:
    """The manifest that is there; one that cannot be read is written anew like one that is missing."""
    try:
        return context.manifest()
    except UserError:
        return None
