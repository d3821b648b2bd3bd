"""What ran where and when, as the spans that tracking/cluster_timeline.py draws."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from distributed.embedding_progress import read_embedding_times
from distributed.search import read_pack_times
from distributed.sweep import FoldSearch
from distributed.token_store import TokenStore
from tracking.cluster_timeline import WAIT

Span = dict[str, Any]


def search_spans(searches: Sequence[FoldSearch]) -> list[Span]:
    """A span for every pack, and one wherever a process waited for its next pack."""
    spans = [
        _span(
            f"{ran['node']}, process {ran['process']}",
            ran["started"],
            ran["ended"],
            f"fold {ran['fold']}",
            f"fold {ran['fold']}, pack {ran['pack']}, {ran['configurations']} configurations",
        )
        for search in searches
        for ran in read_pack_times(search.packs)
    ]
    return spans + _waits(spans)


def embedding_spans(store: TokenStore) -> list[Span]:
    """Decoding and encoding of every part, and what decoders and encoders waited before it."""
    rows = read_embedding_times(store)
    decoding, encoding = [], []
    for row in rows:
        what = f"part {row['part']}, {row['videos']} videos"
        lane, started = f"encoder: {row['encoded_on']}", row["encode_ended"] - row["worked_s"]
        decoded = _span(f"decoder: {row['decoded_on']}", row["decode_started"], row["decode_ended"], "decode", what)
        decoding.append(decoded)
        encoding.append(_span(lane, started - row["waited_s"], started, WAIT, f"for {what}"))
        encoding.append(_span(lane, started, row["encode_ended"], "encode", what))
    return decoding + _waits(decoding) + encoding


def _waits(spans: Sequence[Span]) -> list[Span]:
    """The gaps between the spans of a lane."""
    ordered = sorted(spans, key=lambda span: (span["lane"], span["start"]))
    return [
        _span(before["lane"], before["end"], after["start"], WAIT, f"for {after['what']}")
        for before, after in pairwise(ordered)
        if before["lane"] == after["lane"]
    ]


def _span(lane: str, start: float, end: float, kind: str, what: str) -> Span:
    return {"lane": lane, "start": start, "end": max(start, end), "kind": kind, "what": what}
