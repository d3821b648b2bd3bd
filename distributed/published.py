"""Refitted probes as checkpoints of the published code, which its `AttentiveClassifier` loads.

Attentive probes become checkpoints of V-JEPA's evaluations as Eing et al. run them (`classifier`, whose cross-attention
ends in a projection; V-JEPA's own code holds that projection's weights but never applies them), deep probes those of
V-JEPA 2 (`classifiers`). They hold tensors alone, so that `torch.load(..., weights_only=True)` reads them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import torch

from distributed.errors import UserError
from distributed.storage import Storage
from distributed.winners import Winner
from search_spaces import attentive, deep

DESCRIPTION = "classifiers.json"


def save_published(winners: Sequence[Winner], folder: Storage, *, label_names: Sequence[str]) -> None:
    """Write `fold-<number>.pth` of every winner and what the published classes are to be made with.

    Raises:
        UserError: a winner's family has no published layout; nothing is written then.
    """
    checkpoints = [(winner, *_checkpoint(winner)) for winner in winners]
    described = []
    for winner, checkpoint, arguments in checkpoints:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        name = f"fold-{winner.fold}.pth"
        folder.write_bytes(name, buffer.getvalue())
        described.append({"fold": winner.fold, "file": name, "AttentiveClassifier": arguments})
    folder.write_json(DESCRIPTION, {"label_names": list(label_names), "folds": described})


def _checkpoint(winner: Winner) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `torch.save` writes, and the arguments of the class that loads it."""
    probe, family, params = winner.probe, winner.record["family"], winner.record["params"]
    try:
        if isinstance(probe, deep.DeepProbe):
            checkpoint: dict[str, Any] = {"classifiers": [deep.published_state(probe)]}
        elif isinstance(probe, attentive.AttentiveProbe):
            checkpoint = {"classifier": attentive.published_state(probe)}
        else:
            raise ValueError(f"probes of the family {family} have no published layout")
    except ValueError as error:
        raise UserError(
            f"fold {winner.fold}: {error}; search.families=[attentive] with attentive.queries=[1], or [deep], finds "
            "probes that have one; without --layout every probe is exported"
        ) from error
    num_classes, dim = probe.linear.weight.shape
    shape = {"num_heads": params[f"{family}.heads"], "mlp_ratio": params[f"{family}.mlp_ratio"]}
    return checkpoint, {"embed_dim": dim, **shape, "depth": params[f"{family}.depth"], "num_classes": num_classes}
