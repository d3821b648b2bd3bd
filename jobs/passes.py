"""What augmented passes were worth, for the report: read from what the evaluation has kept, nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import get_args

from distributed.comparison import compare
from distributed.intervals import MIN_ACTORS, Score
from distributed.manifest import Manifest
from distributed.scored_videos import ScoredVideos, without_passes
from distributed.search import Record
from distributed.token_store import TokenStore
from jobs.context import Context
from jobs.results import results_folder
from jobs.uncertainty import bounds
from tracking.passes_section import WITH, WITHOUT, passes_section
from tracking.report_parts import Section

_DRAWN = {"all": "one of these and the clean pass", "augmented": "one of these"}


def passes_sections(
    context: Context, manifest: Manifest, store: TokenStore, records: Sequence[Record], scored: ScoredVideos
) -> list[Section]:
    """One section where training took augmented passes and winners were trained without them too."""
    header = store.header
    count = len(header.views) - len(header.clean_views)
    alone = without_passes(results_folder(context, manifest, store), scored)
    runs = {WITH: scored, WITHOUT: alone} if alone is not None else {}
    enough = len(set(scored.actors)) >= MIN_ACTORS
    pairs = [compare(runs, score=score)[0] for score in get_args(Score)] if runs and enough else []
    taken = _DRAWN.get(context.experiment.training.views, "")
    section = passes_section(
        records,
        {name: bounds(run) for name, run in runs.items()},
        [asdict(pair) for pair in pairs],
        f"{count} augmented passes of every video are stored; an epoch of training takes {taken} of each video.",
    )
    return [section] if section else []
