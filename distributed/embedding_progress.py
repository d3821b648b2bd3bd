"""How far an embedding is, and what its workers have done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distributed.storage import Storage
from distributed.token_store import TokenStore

_PLACES = ("encoded_on", "encode_ended", "decoded_on", "decode_started", "decode_ended")
_TIMES = ("part", "videos", "waited_s", "worked_s", *_PLACES)  # of a summary: what a timeline is made of


@dataclass(frozen=True)
class EmbeddingWork:
    """What one command has done so far: frames decoded, clips encoded, bytes of tokens written.

    `waited_s` and `worked_s` are by encoder process: seconds without a decoded part, after its first one, and
    seconds of encoding and writing; `wrote_s` is the writing alone, of all of them. `clips_per_batch` is the
    smallest pass of the encoders, 0 before the first.
    """

    frames: int = 0
    clips: int = 0
    token_bytes: int = 0
    clips_per_batch: int = 0
    wrote_s: float = 0.0
    waited_s: Mapping[str, float] = field(default_factory=dict)
    worked_s: Mapping[str, float] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> EmbeddingWork:
        """With the summary of one more part; what an encoder waits for its first part is the graph's start."""
        name = row["encoder"]
        waited = self.waited_s[name] + row["waited_s"] if name in self.waited_s else 0.0
        smallest = min(self.clips_per_batch or row["clips_per_batch"], row["clips_per_batch"])
        return EmbeddingWork(
            self.frames + row["frames"],
            self.clips + row["clips"],
            self.token_bytes + row["token_bytes"],
            smallest,
            self.wrote_s + row["wrote_s"],
            {**self.waited_s, name: waited},
            {**self.worked_s, name: self.worked_s.get(name, 0.0) + row["worked_s"]},
        )

    @property
    def totals(self) -> dict[str, float]:
        """Numbers that add up over commands."""
        seconds = {"waited_s": sum(self.waited_s.values()), "worked_s": sum(self.worked_s.values())}
        return {
            "frames": self.frames,
            "clips": self.clips,
            "token_bytes": self.token_bytes,
            "wrote_s": self.wrote_s,
            **seconds,
        }

    @property
    def wait_shares(self) -> list[float]:
        """Of each encoder's time, the share in which it waited for decoding."""
        return [waited / (waited + self.worked_s[name]) for name, waited in self.waited_s.items()]

    @property
    def waiting(self) -> str:
        """The least and the largest of the shares, in words; there must be one."""
        shares = self.wait_shares
        least, largest = f"{min(shares):.0%}", f"{max(shares):.0%}"
        return least if least == largest else f"{least} to {largest}"


@dataclass(frozen=True)
class EmbeddingProgress:
    """Counts of videos, for a progress bar, and what was done for them."""

    done: int
    total: int
    failed: int
    work: EmbeddingWork = field(default_factory=EmbeddingWork, compare=False)


def write_embedding_times(store: TokenStore, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep, of the summaries of one command's parts, what `read_embedding_times` gives; nothing where there is none.

    In a folder of their own beside the shards, whose bytes do not depend on them.
    """
    if rows:
        times = [{name: row[name] for name in _TIMES} for row in rows]
        _times_folder(store).write_json(f"times-{round(rows[0]['decode_started'])}.json", times)


def read_embedding_times(store: TokenStore) -> list[dict[str, Any]]:
    """Where and when (seconds since 1970) each part was decoded and encoded, and how long its encoder had waited."""
    folder = _times_folder(store)
    return [row for name in folder.names() for row in folder.read_json(name)]


def _times_folder(store: TokenStore) -> Storage:
    return store.storage.child("times")
