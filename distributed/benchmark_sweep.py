"""What a sweep costs beside training: a store of noise to search over, and where the time of a search went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch

from distributed.manifest import Manifest
from distributed.search import Record
from distributed.token_store import TokenRow, TokenStore

LABELS = ("first", "second")
ACTORS = 8


def noise_manifest() -> Manifest:
    """Videos that exist by name alone: every actor shows every label twice."""
    rows = [(actor, label, take) for actor in range(ACTORS) for label in range(len(LABELS)) for take in range(2)]
    columns = {
        "video_id": [f"{actor}/{label}-{take}" for actor, label, take in rows],
        "path": ["" for _ in rows],
        "dataset": ["noise" for _ in rows],
        "label": pa.array([label for _, label, _ in rows], pa.int64()),
        "label_name": [LABELS[label] for _, label, _ in rows],
        "actor": [str(actor) for actor, _, _ in rows],
    }
    return Manifest(pa.table(columns), LABELS)


def fill_with_noise(store: TokenStore, manifest: Manifest) -> None:
    """Write every part of a store with normal noise, the same each time, and seal its shards."""
    ids, header = manifest.table["video_id"].to_pylist(), store.header
    generator = torch.Generator().manual_seed(0)
    store.create()
    for part in store.missing_parts():
        names = [(ids[row], view) for row in header.videos_of(part) for view in header.views]
        rows = [TokenRow(*name, torch.randn(header.shape, generator=generator)) for name in names]
        store.write_part(part, rows, [])
    for shard in store.sealable_shards():
        store.seal(shard)


@dataclass(frozen=True)
class SweepSeconds:
    """Where the seconds of a sweep went; `each`: per configuration, all but training.

    `start`: until the first pack trained; `training`, and `between` packs (Tune, Optuna): of the fold that took
    longest; `end`: from the last pack to the end of the command. `workers`: processes that trained packs.
    """

    total: float
    start: float
    training: float
    between: float
    end: float
    workers: int
    configurations: int

    @property
    def each(self) -> float:
        return (self.total - self.training) / self.configurations

    @classmethod
    def of(cls, packs: Sequence[Record], began: float, ended: float) -> SweepSeconds:
        """From the notes of all packs (`search.read_pack_times`) and when the sweep began and ended."""
        first, last = min(pack["started"] for pack in packs), max(pack["ended"] for pack in packs)
        busy = max(
            sum(pack["ended"] - pack["started"] for pack in packs if pack["fold"] == fold)
            for fold in {pack["fold"] for pack in packs}
        )
        return cls(
            total=ended - began,
            start=first - began,
            training=busy,
            between=max(0.0, last - first - busy),
            end=ended - last,
            workers=len({(pack["node"], pack["process"]) for pack in packs}),
            configurations=sum(pack["configurations"] for pack in packs),
        )
