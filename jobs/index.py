"""`fersweep index`: list the videos."""

from __future__ import annotations

from distributed.manifest import Manifest, build_manifest
from jobs.context import Context


def index(context: Context) -> Manifest:
    """List the videos anew and keep the manifest; says whether anything changed."""
    settings = context.experiment.data.model_dump(mode="json", exclude={"max_failures"})
    with context.workspace.stage("index", settings):
        manifest = build_manifest(context.experiment.data)
        manifest.save(context.manifest_folder)
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
