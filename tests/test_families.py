"""Families scored beside the winner in one pack: what each said, what failed, and a winner that stays what it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from distributed import refits, training
from distributed.evaluation import EvaluateConfig, refit_and_score
from distributed.selection import FamilyBest
from tests.synthetic import NAMES
from tests.test_evaluation import PARTNER, QUICK, WINNER, evaluations

ON = EvaluateConfig(families=True, calibrate=False)
ATTENTIVE = {**WINNER, "trial": 7, "score": 0.6}
FAMILIES = (FamilyBest("linear", 5, QUICK), FamilyBest("attentive", 3, ATTENTIVE), FamilyBest("mlp", 2, None))


def test_every_family_is_scored_once_beside_the_winner_in_its_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_pack = training.train_pack
    packs: list[list[int]] = []

    def remember(*given: Any, **named: Any) -> Any:
        packs.append([spec.trial for spec in given[4]])
        return train_pack(*given, **named)

    monkeypatch.setattr(refits, "train_pack", remember)
    (alone, *_) = evaluations(tmp_path / "a", winner=QUICK, epochs=4, signal=0.5)
    job = replace(alone, config=ON, families=FAMILIES)
    plain, outcome = refit_and_score(alone), refit_and_score(job)
    assert packs == [[3], [3, 7]]
    record, members = outcome.record, outcome.members
    assert plain.record["families"] is None and members is not None
    assert {name: record[name] for name in ("trial", "scores", "confusion")} == {
        name: plain.record[name] for name in ("trial", "scores", "confusion")
    }
    linear, attentive, mlp = record["families"]
    assert (linear["family"], linear["trial"], linear["tried"], linear["inner_score"]) == ("linear", 3, 5, 0.8)
    assert linear["scores"] == record["scores"] and linear["confusion"] == record["confusion"]
    assert (attentive["trial"], attentive["params"], attentive["reason"]) == (7, ATTENTIVE["params"], None)
    assert mlp["scores"] is None and mlp["reason"] == "none of its 2 configurations was trained to the end"
    labels = job.tokens.labels[job.fold.test]
    for number, family in enumerate((linear, attentive)):
        mine = members.filter(pc.and_(pc.equal(members["role"], "family"), pc.equal(members["number"], number)))
        said = np.stack([mine[f"p_{name}"].to_numpy() for name in NAMES], axis=1)
        assert family["scores"]["war"] == pytest.approx(np.mean(said.argmax(axis=1) == labels))
        assert set(mine["trial"].to_pylist()) == {family["trial"]}
    assert set(members["role"].to_pylist()) == {"repeat", "family"}


def test_a_families_refit_that_fails_has_its_reason_and_an_ensembles_member_is_trained_once(tmp_path: Path) -> None:
    config = EvaluateConfig(families=True, ensemble=2, calibrate=False)
    wild = {**ATTENTIVE, "params": {**ATTENTIVE["params"], "lr": 1e38}}
    mlp = {**PARTNER, "family": "mlp"}  # named so alone: it stands for the best of another family
    (job, *_) = evaluations(tmp_path, winner=QUICK, config=config, partners=(PARTNER,), epochs=2)
    families = (FamilyBest("linear", 5, QUICK), FamilyBest("mlp", 1, mlp), FamilyBest("attentive", 3, wild))
    record = refit_and_score(replace(job, families=families)).record
    assert record["ensemble"]["trials"] == [3, 5] and record["ensemble"]["notes"] == []
    reasons = [family["reason"] for family in record["families"]]
    assert reasons[:2] == [None, None]
    assert reasons[2].startswith("the refit of configuration 7 failed (training loss is")
    assert record["families"][1]["scores"] is not None and record["families"][2]["scores"] is None


def test_a_fixed_recipe_has_no_families() -> None:
    with pytest.raises(ValueError, match="is of one family; remove families or set selection: nested"):
        EvaluateConfig(selection="paper", families=True)
