"""Where each kind of work runs on a cluster: what its nodes offer, and what a piece of work books of it.

Decoding runs on the nodes that declare the resource `decode`, near the videos; where none does, anywhere. Encoding
and training book GPUs where there are any. Whatever works books some CPU, so a head that offers none only controls.

A cluster that rests at zero says on its head which nodes it can have, a label for each kind:
`ray start --head --labels=fersweep.nodes/decode=16x8cpu,fersweep.nodes/gpu=8x8cpu1gpu`. The kind `decode` declares
the resource. Ray itself knows only the nodes that are there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from distributed.errors import UserError

DECODE = "decode"
LABEL = "fersweep.nodes/"
# A task's share of a node's one `decode`: the CPUs that it books are what limits it.
_A_LITTLE = 0.001
_LEAST_CPU = 0.25  # of a CPU for a trial: every process costs memory and seconds of starting
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Node:
    """What a node offers to work."""

    cpus: float
    gpus: float = 0.0
    decodes: bool = False


def nodes() -> list[Node]:
    """The nodes that work can run on: those that the cluster says it can have, or those that are there.

    Raises:
        UserError: there is none, or a label cannot be read.
    """
    there = [node for node in ray.nodes() if node["Alive"]]
    declared = [node for one in there for node in declared_nodes(one["Labels"])]
    found = declared or [node for node in map(offered, there) if node.cpus]
    if not found:
        raise UserError(
            "no node of this cluster offers a CPU; start nodes that do, or, where it starts them by itself, let the "
            f"labels of its head say which it can have (such as {LABEL}gpu=8x8cpu1gpu, see deploy/README.md)"
        )
    return found


def offered(node: Mapping[str, Any]) -> Node:
    """What a node offers, from its entry in `ray.nodes()`."""
    resources = node["Resources"]
    return Node(float(resources.get("CPU", 0)), float(resources.get("GPU", 0)), DECODE in resources)


def declared_nodes(labels: Mapping[str, str]) -> list[Node]:
    """The nodes that a head's labels promise; raises UserError for one that cannot be read."""
    found = []
    for label, text in sorted(labels.items()):
        if label.startswith(LABEL):
            kind = re.fullmatch(r"(\d+)x(\d+)cpu(?:(\d+)gpu)?", text)
            if kind is None:
                raise UserError(
                    f"the label {label}={text} of a node says nothing; write how many nodes of how many CPUs and GPUs "
                    "each, such as 8x16cpu or 4x8cpu1gpu"
                )
            count, cpus, gpus = (int(number or 0) for number in kind.groups())
            found += [Node(cpus, gpus, label == LABEL + DECODE)] * count
    return found


def decode_options() -> dict[str, Any]:
    """What a decoding task books beside CPUs, so that it runs where the videos are near."""
    return {"resources": {DECODE: _A_LITTLE}} if any(node.decodes for node in nodes()) else {}


def slots(places: Sequence[Node], cpus: float, gpus: float) -> int:
    """How many pieces of work that book so much run on these nodes side by side; a share lies within one GPU."""
    return sum(min(_times(node.cpus, cpus), _gpu_slots(node, gpus)) for node in places)


def _gpu_slots(node: Node, gpus: float) -> int:
    if gpus <= 0:
        return 1 << 30
    return int(node.gpus) * _times(1.0, gpus) if gpus < 1 else _times(node.gpus, gpus)


def _times(whole: float, part: float) -> int:
    return max(0, math.floor(whole / part + _ROUNDING))


def encoder_room(cpus: float, gpus: float, decode_cpus: float) -> tuple[int, float]:
    """How many encoders there is room for beside decoding, and the GPUs of each: none where no node has one.

    Raises:
        UserError: no node has what one encoder books, or nothing could be decoded beside it.
    """
    places = nodes()
    gpus = gpus if any(node.gpus for node in places) else 0.0
    if not slots(places, cpus, gpus):
        raise UserError(
            f"embedding: no node has the {_text(cpus, gpus)} that an encoder books (encoder_cpus, encoder_gpus)"
        )
    apart = any(node.decodes or (gpus and not node.gpus and node.cpus >= decode_cpus) for node in places)
    room = slots(places if apart else [Node(node.cpus - decode_cpus, node.gpus) for node in places], cpus, gpus)
    if not room:
        raise UserError(
            f"embedding: where an encoder runs ({_text(cpus, gpus)}) no node has {decode_cpus:g} CPUs left to decode; "
            "lower embedding.decode_cpus or embedding.encoder_cpus"
        )
    return room, gpus


def trial_share(
    at_once: int, cpus: float | None, gpus: float | None, *, side_by_side: bool = False
) -> dict[str, float]:
    """The `cpu` and `gpu` of each of `at_once` trials: the largest with which all of them run at once.

    A trial's share lies within one node, whatever the others are like, and its share of a GPU within one GPU. Trials
    without a GPU get parts of a CPU only `side_by_side`; else they take turns. Given `cpus` and `gpus` are kept.

    Raises:
        UserError: no node has what was given.
    """
    places = nodes()
    if gpus is None:
        gpus = _gpu_share(sum(int(node.gpus) for node in places), at_once)
    if gpus:
        places = [node for node in places if node.gpus]
    if cpus is None:
        shared = bool(gpus) or side_by_side
        wanted = min(at_once, slots(places, _LEAST_CPU, gpus) if shared else at_once)
        cpus = _largest_share(places, max(1, wanted), gpus, shared=shared)
    if not slots(places, cpus, gpus):
        raise UserError(
            f"sweep: no node has the {_text(cpus, gpus)} that a trial books; lower sweep.cpus_per_trial or "
            "sweep.gpus_per_trial"
        )
    return {"cpu": cpus, "gpu": gpus}


def _largest_share(places: Sequence[Node], wanted: int, gpus: float, *, shared: bool) -> float:
    """The most CPUs with which so many trials run at once; with too many trials, the least."""
    whole = range(int(max((node.cpus for node in places), default=1)), 0, -1)
    parts = range(99, int(100 * _LEAST_CPU), -1) if shared else ()
    shares = [*map(float, whole), *(part / 100 for part in parts)]
    return next((share for share in shares if slots(places, share, gpus) >= wanted), _LEAST_CPU if shared else 1.0)


def _gpu_share(num_gpus: int, at_once: int) -> float:
    if not num_gpus:
        return 0.0
    together = -(-at_once // num_gpus)  # on the fullest GPU
    return max(1, 100 // together) / 100


def _text(cpus: float, gpus: float) -> str:
    return f"{cpus:g} CPUs and {gpus:g} GPUs" if gpus else f"{cpus:g} CPUs"
