"""What ran where and when, drawn from spans of time that the workers noted.

A span: `lane` (what it ran on, in words), `start` and `end` in seconds since 1970, `kind` (decode, encode, wait,
search ...), `what` in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tracking.drawing import GRID, SERIES

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Span = Mapping[str, Any]
MOST_LANES = 60
WAIT = "waited"


def cluster_timeline(spans: Sequence[Span], title: str) -> Figure | None:
    """A row a lane, a bar a span; waiting is pale. None without spans."""
    import plotly.graph_objects as go

    if not spans:
        return None
    lanes = sorted({str(span["lane"]) for span in spans})[:MOST_LANES]
    kinds = sorted({str(span["kind"]) for span in spans} - {WAIT})
    colours = {WAIT: GRID, **{kind: SERIES[place % len(SERIES)] for place, kind in enumerate(kinds)}}
    figure = go.Figure()
    for kind, colour in colours.items():
        mine = [span for span in spans if span["kind"] == kind and span["lane"] in lanes]
        if mine:
            figure.add_trace(
                go.Bar(
                    base=[_moment(span["start"]) for span in mine],
                    x=[1000 * (span["end"] - span["start"]) for span in mine],  # milliseconds on an axis of dates
                    y=[span["lane"] for span in mine],
                    text=[f"{span['what']}: {span['end'] - span['start']:.2f} s" for span in mine],
                    hovertemplate="%{text}<br>from %{base}<extra></extra>",
                    textposition="none",
                    orientation="h",
                    name=kind,
                    marker={"color": colour, "line": {"width": 0.5, "color": "white"}},
                )
            )
    figure.update_layout(barmode="overlay", template="plotly_white", title={"text": title, "font": {"size": 15}})
    figure.update_layout(height=140 + 26 * len(lanes), margin={"l": 220})
    figure.update_xaxes(type="date")
    return figure.update_yaxes(categoryorder="array", categoryarray=list(reversed(lanes)))


def waiting_shares(spans: Sequence[Span]) -> dict[str, float]:
    """For every lane, the share of its spans' time that it waited."""
    shares = {}
    for lane in sorted({str(span["lane"]) for span in spans}):
        mine = [span for span in spans if span["lane"] == lane]
        total = sum(span["end"] - span["start"] for span in mine)
        waited = sum(span["end"] - span["start"] for span in mine if span["kind"] == WAIT)
        shares[lane] = waited / total if total else 0.0
    return shares


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
