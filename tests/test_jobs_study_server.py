"""Optuna's dashboard shows the studies of the newest sweep, with the scores that the packs hold."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from distributed.search import read_packs
from jobs.study_server import study_server, swept_folds
from tests.finished_run import CONFIGURATIONS, FOLDS, FinishedRun
from tracking.server import free_port


def ask(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return json.load(answer)


def test_the_dashboard_answers_with_every_configuration(finished_run: FinishedRun) -> None:
    folds = swept_folds(finished_run.context.workspace.storage)
    assert [fold.name for fold in folds] == [f"small fold {n}" for n in range(FOLDS)]
    with study_server(folds, free_port(18080)) as url:
        assert url.startswith("http://127.0.0.1:") and url.endswith("/dashboard")
        api = url.removesuffix("/dashboard") + "/api/studies"
        studies = {study["study_name"]: study["study_id"] for study in ask(api)["study_summaries"]}
        assert list(studies) == [fold.name for fold in folds]
        for fold in folds:
            trials = ask(f"{api}/{studies[fold.name]}?after=0")["trials"]
            scores = {t["number"]: t["values"][0] for t in trials if t["state"] == "Complete"}
            records = [record for pack in read_packs(fold.packs).values() for record in pack]
            assert len(trials) == len(records) == CONFIGURATIONS
            assert scores == {r["trial"]: pytest.approx(r["score"]) for r in records if r["state"] == "complete"}
    with pytest.raises(OSError, match="refused"):
        ask(api)
