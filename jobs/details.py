"""What the report shows beyond scores and search: its sections in their order, and what it warns of."""

from __future__ import annotations

from collections.abc import Sequence

from distributed.duplicates import known_duplicates
from distributed.manifest import Manifest
from distributed.scored_videos import ScoredVideos
from distributed.search import Record
from distributed.token_store import TokenStore
from jobs.anchors import anchors_sections
from jobs.context import Context
from jobs.families import compared_families
from jobs.full_video import full_video_records
from jobs.insides import inside_sections
from jobs.passes import passes_sections
from jobs.results import results_folder
from jobs.transfer import transfers
from jobs.uncertainty import uncertainty_section
from tracking.calibration_section import calibration_sections
from tracking.full_video_section import full_video_section
from tracking.members_section import members_sections
from tracking.report_parts import Section
from tracking.transfer_section import transfer_section


def details(
    context: Context, manifest: Manifest, store: TokenStore, records: Sequence[Record], scored: ScoredVideos
) -> list[Section]:
    """The sections; what one of them needs is computed once and kept in the workspace."""
    return [
        *anchors_sections(context, manifest, store, list(records)),
        *members_sections(records),
        *passes_sections(context, manifest, store, records, scored),
        *compared_families(results_folder(context, manifest, store), records),
        *further_sections(context, manifest, store, records),
        *calibration_sections(records),
        uncertainty_section(scored, manifest),
        *inside_sections(context, manifest, store, list(records)),
    ]


def further_sections(
    context: Context, manifest: Manifest, store: TokenStore, records: Sequence[Record]
) -> list[Section]:
    """Full videos and other datasets, as far as they have been scored with these settings."""
    found = full_video_records(context, manifest, store)
    sections = [full_video_section(found, records)] if found else []
    return sections + [transfer_section(target) for target in transfers(context, manifest, store)]


def leak_notes(context: Context, manifest: Manifest) -> list[str]:
    """A warning where the same video is there under the names of different actors and was let through."""
    if context.experiment.data.duplicates == "ignore":
        return []
    leaks = [str(group) for group in known_duplicates(manifest, context.manifest_folder) if group.is_leak]
    text = "The same video is there under the names of different actors, so test scores may be too high:"
    return [f"{text} {'; '.join(leaks[:5])}{' ...' if len(leaks) > 5 else ''}"] if leaks else []
