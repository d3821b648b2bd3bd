"""The winner is the best inner score; refitted, it is scored once on actors that nothing has seen."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet
from safetensors.torch import load as load_safetensors

from distributed.errors import UserError
from distributed.evaluation import FoldEvaluation, evaluate_folds, paper_recipe, refit_and_score, winner_of
from distributed.storage import Storage
from distributed.training import TrainingConfig
from search_spaces.family import build_probe
from tests.synthetic import NAMES, synthetic_tokens

WINNER: dict[str, Any] = {
    "trial": 3,
    "family": "attentive",
    "score": 0.8,
    "params": {**paper_recipe(2)["params"], "lr": 1e-2, "batch_size": 8},
}


def evaluations(folder: Path, *, signal: float = 1.0, winner: dict[str, Any] = WINNER) -> list[FoldEvaluation]:
    tokens, folds = synthetic_tokens(folder / "store", signal=signal, folds=3)
    return [
        FoldEvaluation(
            fold=fold,
            winner=winner,
            tokens=tokens,
            training=TrainingConfig(epochs=15),
            selection="nested",
            seed=fold.index,
            results=Storage.at(folder / "results"),
        )
        for fold in folds
    ]


def probe(trial: int, score: float | None, state: str = "complete", reason: str | None = None) -> dict[str, Any]:
    return {"trial": trial, "score": score, "state": state, "reason": reason}


def test_the_winner_is_the_best_complete_one_and_the_earlier_of_two_equals() -> None:
    records = [probe(0, 0.5), probe(1, 0.9, "pruned"), probe(2, 0.7), probe(3, 0.7), probe(4, None, "failed")]
    assert winner_of(0, records)["trial"] == 2
    assert winner_of(0, records[::-1])["trial"] == 2


def test_a_fold_without_a_complete_configuration_names_the_reasons() -> None:
    with pytest.raises(UserError, match=r"fold 2: none of its 2.*not finite at step 3"):
        winner_of(2, [probe(0, None, "failed", "not finite at step 3"), probe(1, 0.4, "pruned")])


def test_a_probe_reads_what_one_token_of_sixteen_says_about_unseen_actors(tmp_path: Path) -> None:
    job = evaluations(tmp_path)[0]
    record, weights, predictions = refit_and_score(job)
    assert record["scores"]["uar"] > 0.8
    assert np.sum(record["confusion"]) == record["num_test"] == len(predictions) == len(job.fold.test)
    assert record["inner_score"] == 0.8 and record["trial"] == 3 and len(record["curves"]) == 15
    tested = set(predictions["actor"].to_pylist())
    assert sorted(tested) == record["test_actors"]
    assert tested.isdisjoint(job.tokens.actors[row] for row in job.fold.development)
    rows = np.stack([predictions[f"p_{name}"].to_numpy() for name in NAMES], axis=1)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    right = [a == b for a, b in zip(predictions["true"].to_pylist(), predictions["predicted"].to_pylist(), strict=True)]
    assert np.mean(right) == pytest.approx(record["scores"]["war"])
    rebuilt = build_probe("attentive", WINNER["params"], dim=16, num_classes=3, seed=0)
    rebuilt.load_state_dict(weights)


def test_noise_is_scored_as_chance(tmp_path: Path) -> None:
    jobs = evaluations(tmp_path, signal=0.0)
    scores = [refit_and_score(job)[0]["scores"]["uar"] for job in jobs]
    assert abs(np.mean(scores) - 1 / 3) < 0.17


@pytest.mark.usefixtures("shared_ray")
def test_folds_are_scored_once_and_heard_of_every_time(tmp_path: Path) -> None:
    jobs = evaluations(tmp_path)
    heard: list[dict[str, Any]] = []
    records = evaluate_folds(jobs, heard.append)
    assert [record["fold"] for record in records] == [0, 1, 2]
    results = Storage.at(tmp_path / "results")
    assert results.names() == sorted(
        f"fold-{k}.{kind}" for k in range(3) for kind in ("json", "parquet", "safetensors")
    )
    again: list[dict[str, Any]] = []
    assert evaluate_folds(jobs, again.append) == records  # the seconds too: nothing was trained
    assert len(again) == 3
    results.delete("fold-1.json")  # a fold counts once its record is there
    redone = evaluate_folds(jobs, lambda record: None)
    assert redone[1]["scores"] == records[1]["scores"] and redone[0] == records[0]
    assert len(load_safetensors(results.read_bytes("fold-2.safetensors"))) > 5
    assert len(parquet.read_table(io.BytesIO(results.read_bytes("fold-2.parquet")))) == records[2]["num_test"]


def test_a_refit_that_diverges_is_an_error_with_its_reason(tmp_path: Path) -> None:
    wild = {**WINNER, "params": {**WINNER["params"], "lr": 1e38}}
    with pytest.raises(UserError, match=r"fold 0: configuration 3 won the search, and its refit failed"):
        refit_and_score(evaluations(tmp_path, winner=wild)[0])


def test_the_papers_recipe_builds_its_probe() -> None:
    recipe = paper_recipe(heads=4)
    built = build_probe("attentive", recipe["params"], dim=64, num_classes=8, seed=0)
    # One query of 64, q, kv and projection of the attention, an mlp of four times the width, two norms, 8 classes.
    expected = 64 + (64 * 64 + 64) * 4 + (64 * 256 + 256) + (256 * 64 + 64) + 4 * 64 + (64 * 8 + 8)
    assert sum(p.numel() for p in built.parameters()) == expected
