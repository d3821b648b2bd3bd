"""Which videos an encoder's process died on. Ray starts it anew without end; what kills it each time must not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

# A process may die of other things, such as a node that is taken away.
_TRIES = 2
REASON = (
    "the encoder's process died on it again and again, as when memory runs out; shorten or remove the video, or embed "
    "into a new store (tokens.store) on a machine with more memory"
)


class EncoderDeaths:
    """Counts what was begun and never ended: by part, and by video where a part is tried video by video.

    It outlives the encoders: one Ray actor per graph.
    """

    def __init__(self) -> None:
        self._begun: Counter[tuple[int, str]] = Counter()

    def begin(self, part: int, video_id: str = "") -> int:
        """How often this was begun before without an end."""
        self._begun[part, video_id] += 1
        return self._begun[part, video_id] - 1

    def begun(self, part: int, video_ids: Sequence[str]) -> list[int]:
        return [self._begun[part, video_id] for video_id in video_ids]

    def end(self, part: int, video_id: str = "") -> None:
        del self._begun[part, video_id]


def start_deaths() -> Any:
    """The graph's own, on the node of the process that starts it and as long-lived."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(EncoderDeaths).options(num_cpus=0, scheduling_strategy=here).remote()


def given_up(deaths: Any, part: int, video_ids: Sequence[str], try_alone: Callable[[int], object]) -> set[int]:
    """Begin a part; the places in `video_ids` of the videos that are not to be encoded any more.

    Where encoders died on the part before, its videos are first tried one by one, so that one of them costs no other.
    All are given up where the part still dies although every one passes alone.
    """
    before = ray.get(deaths.begin.remote(part))
    if before < _TRIES:
        return set()
    alone = ray.get(deaths.begun.remote(part, list(video_ids)))
    if before - _TRIES - sum(alone) >= _TRIES:
        return set(range(len(video_ids)))
    lost = {place for place, tries in enumerate(alone) if tries >= _TRIES}
    for place in sorted(set(range(len(video_ids))) - lost):
        ray.get(deaths.begin.remote(part, video_ids[place]))
        try_alone(place)
        ray.get(deaths.end.remote(part, video_ids[place]))
    return lost
