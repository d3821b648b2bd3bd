"""Test scores with their intervals and slices, as the report and MLflow show them: plain numbers by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from distributed.intervals import Interval
from distributed.manifest import Manifest
from distributed.scored_videos import ScoredVideos
from distributed.slices import slices
from tracking.records import Bounds
from tracking.report_parts import Section
from tracking.slices_section import slices_section


def bounds(scored: ScoredVideos) -> dict[str, Bounds]:
    """Every score of the videos with its 95 % interval over actors; none of fewer than three actors."""
    return _plain(scored.intervals())


def recall_bounds(scored: ScoredVideos) -> dict[str, Bounds]:
    """The recall of every class with its 95 % interval; none of a class that fewer than three actors show."""
    return _plain(scored.recall_intervals())


def fold_bounds(scored: ScoredVideos) -> dict[int, dict[str, Bounds]]:
    """`bounds` of every fold's test videos."""
    return {
        fold: bounds(scored.only(np.flatnonzero(scored.folds == fold))) for fold in sorted(set(scored.folds.tolist()))
    }


def all_bounds(scored: ScoredVideos) -> dict[str, Any]:
    """Every interval that the report shows, by the names that it knows them by."""
    return {
        "intervals": bounds(scored),
        "fold_intervals": fold_bounds(scored),
        "recall_intervals": recall_bounds(scored),
    }


def slice_records(scored: ScoredVideos, manifest: Manifest, *, by: str | None = None) -> list[dict[str, Any]]:
    """The slices as plain mappings."""
    return [{**asdict(one), "few": one.few} for one in slices(scored, manifest.table, by=by)]


def uncertainty_section(scored: ScoredVideos, manifest: Manifest) -> Section:
    return slices_section(slice_records(scored, manifest), scored.scores()["uar"])


def _plain(intervals: Mapping[str, Interval]) -> dict[str, Bounds]:
    return {name: (found.value, found.low, found.high) for name, found in intervals.items()}
