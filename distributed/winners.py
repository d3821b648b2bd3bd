"""The refitted probes that an evaluation has left: read from their safetensors files, ready to predict."""

from __future__ import annotations

from dataclasses import dataclass

import safetensors.torch

from distributed.errors import UserError
from distributed.search import Record
from distributed.storage import Storage
from search_spaces.family import build_probe
from search_spaces.probe import Probe, TokenGrid


@dataclass(frozen=True)
class Winner:
    """A fold's refitted probe with its weights, on the CPU in evaluation mode, and the fold's record."""

    fold: int
    probe: Probe
    record: Record


def load_winner(results: Storage, fold: int, *, dim: int, num_classes: int) -> Winner:
    """The winner of a fold from an evaluation's folder; `dim` is the width of a token.

    Raises:
        UserError: the fold is not evaluated there.
    """
    name = f"fold-{fold}"
    if not results.exists(f"{name}.json"):
        raise UserError(f"{results.uri}: fold {fold} is not evaluated; run `fersweep evaluate` first")
    record = results.read_json(f"{name}.json")
    return build_winner(record, results.read_bytes(f"{name}.safetensors"), dim=dim, num_classes=num_classes)


def build_winner(record: Record, weights: bytes, *, dim: int, num_classes: int) -> Winner:
    """The winner that a fold's record describes, with the weights of a safetensors file."""
    grid = TokenGrid(*record["grid"]) if "grid" in record else None
    probe = build_probe(record["family"], record["params"], dim=dim, num_classes=num_classes, seed=0, grid=grid)
    probe.load_state_dict(safetensors.torch.load(weights), strict=True)
    return Winner(int(record["fold"]), probe.eval().requires_grad_(False), record)
