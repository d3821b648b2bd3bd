"""Which configurations are scored: the best inner scores, each set of parameters once, or the fixed recipe."""

from __future__ import annotations

from typing import Any

import pytest

from distributed.errors import UserError
from distributed.selection import best_of, best_of_families, paper_recipe, winner_of
from search_spaces.family import build_probe


def probe(
    trial: int, score: float | None, state: str = "complete", reason: str | None = None, **params: float
) -> dict[str, Any]:
    return {"trial": trial, "score": score, "state": state, "reason": reason, "params": params or {"lr": trial}}


def test_the_winner_is_the_best_complete_one_and_the_earlier_of_two_equals() -> None:
    records = [probe(0, 0.5), probe(1, 0.9, "pruned"), probe(2, 0.7), probe(3, 0.7), probe(4, None, "failed")]
    assert winner_of(0, records)["trial"] == 2
    assert winner_of(0, records[::-1])["trial"] == 2


def test_a_fold_without_a_complete_configuration_names_the_reasons() -> None:
    with pytest.raises(UserError, match=r"fold 2: none of its 2.*not finite at step 3"):
        winner_of(2, [probe(0, None, "failed", "not finite at step 3"), probe(1, 0.4, "pruned")])


def test_the_best_have_different_parameters_and_are_no_more_than_there_are() -> None:
    records = [
        probe(0, 0.7, lr=0.1),
        probe(1, 0.9, lr=0.2),
        probe(2, 0.9, lr=0.3),
        probe(3, 0.95, lr=0.2),
        probe(4, 0.99, "pruned", lr=0.4),
        probe(5, 0.7, lr=0.5),
    ]
    assert [record["trial"] for record in best_of(0, records, 3)] == [3, 2, 0]
    assert [record["trial"] for record in best_of(0, records, 9)] == [3, 2, 0, 5]  # 1 has the parameters of 3
    assert best_of(0, records, 1) == [winner_of(0, records)]


def test_the_papers_recipe_builds_its_probe() -> None:
    recipe = paper_recipe(heads=4)
    built = build_probe("attentive", recipe["params"], dim=64, num_classes=8, seed=0)
    # One query of 64, q, kv and projection of the attention, an mlp of four times the width, two norms, 8 classes.
    expected = 64 + (64 * 64 + 64) * 4 + (64 * 256 + 256) + (256 * 64 + 64) + 4 * 64 + (64 * 8 + 8)
    assert sum(p.numel() for p in built.parameters()) == expected


def test_every_family_has_its_best_and_the_winners_comes_first() -> None:
    scores = [("a", 0.5), ("b", 0.7), ("a", 0.6), ("b", 0.7), ("c", None)]
    states = ["complete", "complete", "complete", "complete", "failed"]
    records = [
        {**probe(trial, score, state, "lr"), "family": family}
        for trial, ((family, score), state) in enumerate(zip(scores, states, strict=True))
    ]
    found = best_of_families(0, records)
    assert [(one.family, one.tried, one.record and one.record["trial"]) for one in found] == [
        ("b", 2, 1),
        ("a", 2, 2),
        ("c", 1, None),
    ]
    assert found[0].record == winner_of(0, records)
    with pytest.raises(UserError, match="none of its 1 configurations"):
        best_of_families(0, records[4:])
