"""All figures of a sweep as files: one interactive page, and the pictures of every fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tracking import interactive
from tracking import records as rec
from tracking.cluster_timeline import Span, cluster_timeline, waiting_shares
from tracking.figure_page import Tab, figure_page
from tracking.figures import learning_curves, search_history, to_png
from tracking.records import Bounds, Record

PAGE = "figures.html"
Files = dict[str, bytes]


@dataclass(frozen=True)
class SweepFigures:
    """What is drawn: records as in tracking/records.py, spans as in tracking/cluster_timeline.py."""

    title: str
    label_names: Sequence[str]
    probes: Sequence[Record] = ()
    folds: Sequence[Record] = ()
    fold_intervals: Mapping[int, Mapping[str, Bounds]] = field(default_factory=dict)
    search_spans: Sequence[Span] = ()
    embedding_spans: Sequence[Span] = ()


def figure_files(data: SweepFigures) -> Files:
    """The page for the sweep's run; empty without anything to draw."""
    tabs = [tab for tab in _tabs(data) if tab.shown]
    return {PAGE: figure_page(data.title, tabs).encode()} if tabs else {}


def fold_pictures(data: SweepFigures, fold: int) -> Files:
    """PNG pictures for a fold's run: its search, and its winner's curves."""
    mine = [probe for probe in data.probes if probe["fold"] == fold]
    if not mine:
        return {}
    winner = [probe for probe in rec.winners(mine, data.folds) if probe["curves"]]
    files = {"search.png": to_png(search_history(mine))}
    return files | ({"learning_curves.png": to_png(learning_curves(winner))} if winner else {})


def _tabs(data: SweepFigures) -> list[Tab]:
    probes, folds = data.probes, data.folds
    return [
        Tab(
            "Test scores",
            [interactive.fold_scores(folds, data.fold_intervals)],
            "Of actors that neither training nor selection has seen; the inner score, which chose, is apart.",
        ),
        Tab("Confusion", [interactive.confusion(folds, data.label_names)]),
        Tab("Reliability", [interactive.reliability(folds)], "The area of a dot is the number of videos."),
        Tab(
            "Search",
            [interactive.optimisation_history(probes), interactive.score_by_family(probes)],
            "Inner-validation scores: they tell configurations apart, and promise nothing about other actors.",
        ),
        Tab("Importances", [interactive.parameter_importances(probes)]),
        Tab("Parallel coordinates", [interactive.parallel_coordinates(probes)]),
        Tab("Slices", [interactive.slices(probes)]),
        Tab("Learning curves", [interactive.learning_curves(probes, folds)]),
        Tab(
            "Timeline",
            [
                cluster_timeline(data.search_spans, "Which pack of configurations was trained where and when"),
                cluster_timeline(data.embedding_spans, "Decoding and encoding, and what they waited for"),
            ],
            _waiting(data.embedding_spans),
        ),
    ]


def _waiting(spans: Sequence[Span]) -> str:
    shares = waiting_shares(spans)
    told = [f"{lane} {100 * share:.0f} %" for lane, share in list(shares.items())[:12]]
    return f"Share of its time that each waited: {'; '.join(told)}." if told else ""
