"""The timeline of the cluster."""

from datetime import UTC, datetime

import pytest

from tracking.cluster_timeline import WAIT, cluster_timeline, waiting_shares

SPANS = [
    {"lane": "a", "start": 100.0, "end": 103.0, "kind": "encode", "what": "part 0"},
    {"lane": "a", "start": 103.0, "end": 104.0, "kind": WAIT, "what": "for part 1"},
    {"lane": "b", "start": 101.0, "end": 105.0, "kind": "decode", "what": "part 1"},
]


def test_a_bar_lies_where_its_span_lies() -> None:
    figure = cluster_timeline(SPANS, "embedding")
    assert figure is not None
    bars = {trace.name: trace for trace in figure.data}
    assert bars.keys() == {"encode", "decode", WAIT}
    assert bars["encode"].base[0] == datetime.fromtimestamp(100, UTC).replace(tzinfo=None)
    assert bars["encode"].x[0] == 3000
    assert list(bars["decode"].y) == ["b"]


def test_the_share_of_waiting_is_known_for_every_lane() -> None:
    assert waiting_shares(SPANS) == pytest.approx({"a": 0.25, "b": 0.0})


def test_without_spans_there_is_no_timeline() -> None:
    assert cluster_timeline([], "nothing") is None
