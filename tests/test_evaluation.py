"""The winner is the best inner score; refitted, it is scored once on actors that nothing has seen."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from pyarrow import parquet
from safetensors.torch import load as load_safetensors

from distributed import refits, training
from distributed.calibration import calibration_record
from distributed.errors import UserError
from distributed.evaluation import EvaluateConfig, FoldEvaluation, evaluate_folds, refit_and_score
from distributed.selection import paper_recipe
from distributed.storage import Storage
from distributed.training import TrainingConfig
from search_spaces.family import build_probe
from tests.synthetic import NAMES, SHAPE, synthetic_manifest, synthetic_store, synthetic_tokens

WINNER: dict[str, Any] = {
    "trial": 3,
    "family": "attentive",
    "score": 0.8,
    "params": {**paper_recipe(2)["params"], "lr": 1e-2, "batch_size": 8},
}


PARTNER: dict[str, Any] = {
    "trial": 5,
    "family": "linear",
    "score": 0.7,
    "params": {"family": "linear", "lr": 1e-2, "batch_size": 4, "linear.dropout": 0.2},
}
QUICK = {**WINNER, "family": "linear", "params": {**PARTNER["params"], "linear.dropout": 0.1}}
PLAIN = EvaluateConfig(calibrate=False)


def evaluations(
    folder: Path,
    *,
    signal: float = 1.0,
    winner: dict[str, Any] = WINNER,
    config: EvaluateConfig = PLAIN,
    partners: tuple[dict[str, Any], ...] = (),
    epochs: int = 15,
) -> list[FoldEvaluation]:
    tokens, folds = synthetic_tokens(folder / "store", signal=signal, folds=3)
    return [
        FoldEvaluation(
            fold=fold,
            winner=winner,
            tokens=tokens,
            training=TrainingConfig(epochs=epochs),
            config=config,
            seed=fold.index,
            results=Storage.at(folder / "results"),
            ensemble=(winner, *partners) if config.ensemble else (),
        )
        for fold in folds
    ]


def test_a_probe_reads_what_one_token_of_sixteen_says_about_unseen_actors(tmp_path: Path) -> None:
    job = evaluations(tmp_path)[0]
    outcome = refit_and_score(job)
    record, predictions = outcome.record, outcome.predictions
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
    rebuilt.load_state_dict(outcome.weights)


def test_noise_is_scored_as_chance(tmp_path: Path) -> None:
    jobs = evaluations(tmp_path, signal=0.0)
    scores = [refit_and_score(job).record["scores"]["uar"] for job in jobs]
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


@pytest.fixture
def packs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[int], list[int]]]:
    """The trials and the training rows of every pack that is trained, while it is trained as ever."""
    trained = []
    train_pack = training.train_pack

    def remember(reader: Any, labels: Any, rows: Any, validation: Any, specs: Any, *more: Any, **named: Any) -> Any:
        trained.append(([spec.trial for spec in specs], rows.tolist()))
        return train_pack(reader, labels, rows, validation, specs, *more, **named)

    monkeypatch.setattr(refits, "train_pack", remember)
    return trained


def test_repeats_and_members_are_trained_in_one_pack_and_keep_their_probabilities(
    tmp_path: Path, packs: list[tuple[list[int], list[int]]]
) -> None:
    config = EvaluateConfig(repeats=3, ensemble=2, calibrate=False)
    job = evaluations(tmp_path, config=config, winner=QUICK, partners=(PARTNER,), signal=0.5, epochs=6)[0]
    outcome = refit_and_score(job)
    record, members = outcome.record, outcome.members
    assert packs == [([3, 3, 3, 5], job.fold.development.tolist())]
    assert members is not None and len(members) == 5 * record["num_test"]
    assert set(members["video_id"].to_pylist()) == {job.tokens.video_ids[row] for row in job.fold.test}
    columns = [f"p_{name}" for name in NAMES]
    said = {
        (role, number): np.stack([members.filter(mine)[name].to_numpy() for name in columns], axis=1)
        for role, number in [("repeat", 0), ("repeat", 1), ("repeat", 2), ("member", 1), ("ensemble", 0)]
        if (mine := pc.and_(pc.equal(members["role"], role), pc.equal(members["number"], number)))
    }
    plain = np.stack([outcome.predictions[name].to_numpy() for name in columns], axis=1)
    np.testing.assert_array_equal(said["repeat", 0], plain)
    np.testing.assert_allclose(said["ensemble", 0], (plain + said["member", 1]) / 2, atol=1e-6)
    labels = job.tokens.labels[job.fold.test]
    wars = [float(np.mean(said["repeat", r].argmax(axis=1) == labels)) for r in range(3)]
    assert [one["scores"]["war"] for one in record["repeats"]] == pytest.approx(wars)
    assert record["scores"]["war"] == pytest.approx(np.mean(wars))
    assert len({one["seed"] for one in record["repeats"]}) == 3
    assert not np.allclose(said["repeat", 0], said["repeat", 1])
    ensemble = record["ensemble"]
    assert ensemble["trials"] == [3, 5] and ensemble["notes"] == []
    assert ensemble["scores"]["war"] == pytest.approx(np.mean(said["ensemble", 0].argmax(axis=1) == labels))
    assert np.trace(ensemble["confusion"]) == pytest.approx(ensemble["scores"]["war"] * len(labels))


def test_the_first_repeat_is_the_winner_trained_alone(tmp_path: Path) -> None:
    alone = refit_and_score(evaluations(tmp_path / "a", winner=QUICK, epochs=4)[0])
    config = EvaluateConfig(repeats=2, calibrate=False)
    repeated = refit_and_score(evaluations(tmp_path / "b", winner=QUICK, config=config, epochs=4)[0])
    assert alone.members is None and repeated.members is not None
    assert alone.record["repeats"] == [
        {"seed": repeated.record["repeats"][0]["seed"], "scores": alone.record["scores"]}
    ]
    assert alone.record["ensemble"] is None and alone.record["calibration"] is None
    for name in NAMES:
        one, other = (outcome.predictions[f"p_{name}"].to_numpy() for outcome in (alone, repeated))
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_the_winner_without_augmented_passes_is_the_winner_of_a_store_that_has_none(tmp_path: Path) -> None:
    manifest = synthetic_manifest()
    noise = {n: torch.randn(SHAPE, generator=torch.Generator().manual_seed(n)) for n in (1, 2)}
    config = EvaluateConfig(calibrate=False, repeats=2)
    plain = replace(evaluations(tmp_path, winner=QUICK, config=config)[0], seed=5)
    store = synthetic_store(tmp_path / "passes", manifest, passes=lambda video, number: noise[number])
    with_passes = replace(plain, tokens=replace(plain.tokens, store=store))
    outcome, alone = refit_and_score(with_passes), refit_and_score(plain)
    assert alone.record["without_passes"] is None
    without = outcome.record["without_passes"]
    assert without["reason"] is None and without["scores"] == alone.record["scores"]
    assert without["repeats"] == alone.record["repeats"]
    assert outcome.predictions.column("p_sad") != alone.predictions.column("p_sad")
    assert outcome.members is not None and alone.members is not None
    said = outcome.members.filter(pc.equal(outcome.members["role"], "without_passes"))
    assert said.drop_columns("role").equals(alone.members.drop_columns("role"))

    for quiet in (
        replace(with_passes, config=EvaluateConfig(calibrate=False, repeats=2, without_passes=False)),
        replace(with_passes, training=TrainingConfig(epochs=15, views="clean")),
    ):
        assert refit_and_score(quiet).record["without_passes"] is None
    assert refit_and_score(quiet).record["scores"] == alone.record["scores"]


def test_an_ensemble_says_why_it_is_smaller_than_asked_for(tmp_path: Path) -> None:
    wild = {**PARTNER, "trial": 6, "params": {**PARTNER["params"], "lr": 1e38}}
    config = EvaluateConfig(ensemble=4, calibrate=False)
    record = refit_and_score(
        evaluations(tmp_path, config=config, winner=QUICK, partners=(wild, PARTNER), epochs=2)[0]
    ).record
    failed, fewer = record["ensemble"]["notes"]
    assert failed.startswith("the refit of configuration 6 failed (training loss is ") and "left out" in failed
    assert fewer.startswith("the search has 3 of the 4 complete configurations with different parameters")
    assert record["ensemble"]["trials"] == [3, 5] and record["ensemble"]["asked"] == 4


def test_the_temperature_comes_from_the_inner_split_alone(
    tmp_path: Path, packs: list[tuple[list[int], list[int]]]
) -> None:
    job = evaluations(tmp_path, config=EvaluateConfig(), winner=QUICK, signal=0.4, epochs=6)[0]
    outcome = refit_and_score(job)
    assert packs == [([3], job.fold.development.tolist()), ([3], job.fold.train.tolist())]
    found = outcome.record["calibration"]
    assert found["num_inner"] == len(job.fold.validation)
    said = np.stack([outcome.predictions[f"p_{name}"].to_numpy() for name in NAMES], axis=1)
    labels = job.tokens.labels[job.fold.test]
    expected = calibration_record(found["temperature"], said, labels)
    assert found == {"num_inner": found["num_inner"], **expected}
    assert sum(item["count"] for item in found["bins"]["after"]) == len(labels)
    # Other truths about the test part change its errors, and the temperature not at all.
    lied = job.tokens.labels.copy()
    lied[job.fold.test] = (lied[job.fold.test] + 1) % len(NAMES)
    other = refit_and_score(replace(job, tokens=replace(job.tokens, labels=lied))).record["calibration"]
    assert other["temperature"] == found["temperature"] and other["nll"] != found["nll"]


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="one configuration is the winner itself"):
        EvaluateConfig(ensemble=1)
    with pytest.raises(ValueError, match="nothing to average; remove ensemble or set selection: nested"):
        EvaluateConfig(selection="paper", ensemble=3)
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        EvaluateConfig(repeats=0)
