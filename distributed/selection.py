"""Which configuration of a fold's search is scored: chosen by inner scores alone, or fixed beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from distributed.errors import UserError
from distributed.search import Record


def best_of(fold: int, records: Sequence[Record], count: int) -> list[Record]:
    """The `count` complete configurations with the best inner scores, or as many as there are.

    Of two that are equal the earlier one comes first; of two with equal parameters only the better one counts.

    Raises:
        UserError: no configuration of the fold ended well.
    """
    complete = [record for record in records if record["state"] == "complete"]
    if not complete:
        reasons = sorted({record["reason"] for record in records if record["reason"]})
        raise UserError(
            f"fold {fold}: none of its {len(records)} configurations could be trained to the end "
            f"({'; '.join(reasons) or 'no reason given'}); narrow search.optimisation.lr or try more of them"
        )
    best: list[Record] = []
    for record in sorted(complete, key=lambda record: (-record["score"], record["trial"])):
        if len(best) < count and all(record["params"] != other["params"] for other in best):
            best.append(record)
    return best


@dataclass(frozen=True)
class FamilyBest:
    """A family's complete configuration with the best inner score, None without one, of the `tried` in a fold."""

    family: str
    tried: int
    record: Record | None


def best_of_families(fold: int, records: Sequence[Record]) -> list[FamilyBest]:
    """The best of every family that the fold's search has tried: the winner's family first, then by inner score.

    Raises as `best_of`.
    """
    winner_of(fold, records)
    found = []
    for family in sorted({record["family"] for record in records}):
        mine = [record for record in records if record["family"] == family]
        complete = any(record["state"] == "complete" for record in mine)
        found.append(FamilyBest(family, len(mine), winner_of(fold, mine) if complete else None))
    return sorted(found, key=lambda best: (-best.record["score"], best.record["trial"]) if best.record else (1.0, 0))


def winner_of(fold: int, records: Sequence[Record]) -> Record:
    """The configuration with the best inner score; the earlier one of two that are equal. Raises as `best_of`."""
    return best_of(fold, records, 1)[0]


def paper_recipe(heads: int) -> Record:
    """The reference's fixed recipe as if it had been found: one query, the encoder's heads, mlp ratio 4."""
    params = {
        "family": "attentive",
        "lr": 1e-3,
        "weight_decay": 0.01,
        "warmup": 0.0,
        "batch_size": 4,
        "label_smoothing": 0.0,
        "attentive.queries": 1,
        "attentive.heads": heads,
        "attentive.mlp_ratio": 4.0,
        "attentive.depth": 1,
        "attentive.dropout": 0.0,
    }
    return {"trial": None, "family": "attentive", "params": params, "score": None}
