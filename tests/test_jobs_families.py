"""`fersweep compare --families` after a real search of two families, and before one was scored."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console

from distributed.errors import UserError
from distributed.scored_videos import read_families, read_records, read_scored
from distributed.storage import Storage
from jobs.families import compare_families, compared_families
from jobs.results import results_folder
from jobs.run import run_up_to
from jobs.show import Format
from tests.finished_run import FinishedRun, listen
from tests.scored_world import scored, write_families


def compared(*runs: str | Path, form: Format = Format.JSON) -> tuple[str, str]:
    out, warnings = io.StringIO(), io.StringIO()
    consoles = [Console(file=file, width=1000) for file in (out, warnings)]
    compare_families([str(run) for run in runs], *consoles, score="war", form=form, figure=None)
    return out.getvalue(), warnings.getvalue()


def test_a_run_of_one_family_has_nothing_to_compare(finished_run: FinishedRun, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    for fold in range(2):
        record = finished_run.evaluation.read_json(f"fold-{fold}.json")
        of = {"trial": record["trial"], "tried": 5, "scores": None, "reason": "none of its 5 configurations ended"}
        record["families"] = [{**of, "family": name} for name in ("linear", "mlp")]
        Storage.at(folder).write_json(f"fold-{fold}.json", record)
    with pytest.raises(UserError, match=r"no family alone is scored; linear is not scored in fold 0.*training.rungs="):
        compared(folder)


def test_the_report_has_the_pairs_of_the_command_or_says_why_not(tmp_path: Path) -> None:
    linear = scored([[True, True, True, False]] * 6)
    mlp = scored([[True, False, actor % 3 > 0, False] for actor in range(6)])
    results = write_families(Storage.at(tmp_path / "both"), {"linear": linear, "mlp": mlp})
    (section,) = compared_families(results, list(read_records(results).values()))
    (row,) = json.loads(compared(tmp_path / "both")[0])
    (told,) = section.tables[1].rows
    assert section.figure is not None
    assert (told[0], told[3], told[6]) == ("linear − mlp", f"{row['p']:.4f}", str(row["actors"]))

    apart = {"linear": linear.only(np.flatnonzero(linear.folds == 0)), "mlp": mlp.only(np.flatnonzero(mlp.folds == 1))}
    results = write_families(Storage.at(tmp_path / "apart"), apart)
    (section,) = compared_families(results, list(read_records(results).values()))
    assert section.figure is None and "0 videos of 0 actors in common" in section.texts[-1]


@pytest.fixture
def two_families(finished_run: FinishedRun, tmp_path: Path) -> Path:
    """An experiment with two families and the finished run's tokens; its file says nothing of comparing them."""
    values: dict[str, Any] = yaml.safe_load(finished_run.experiment.read_text())
    values |= {"workspace": str(tmp_path / "w"), "tokens": {"store": finished_run.store.storage.uri}}
    values["training"] = {"epochs": 2, "rungs": []}  # so that neither family is pruned
    values["search"] = {"configurations": 8, "pack": 4, "random_first": 8, "families": ["linear", "mlp"]}
    values |= {"anchors": {"mean_pixel": False}, "inside": {"frames": False}}
    path = tmp_path / "two.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_families_of_one_search_are_compared_on_the_same_actors(two_families: Path) -> None:
    context = listen(two_families, "evaluate.families=true")
    run_up_to(context, "report")
    manifest = context.manifest()
    results = results_folder(context, manifest, context.store(manifest))
    out, warnings = compared(two_families)
    (row,) = json.loads(out)
    scored = read_families(results)
    assert (row["first"], row["second"]) == tuple(scored) and set(scored) == {"linear", "mlp"}
    assert (row["videos"], row["actors"], row["left out of first"]) == (24, 6, 0)
    for place, family in (("first", row["first"]), ("second", row["second"])):
        one = scored[family]
        assert row[f"score of {place}"] == pytest.approx(np.mean(one.true == one.predicted))
    assert 0 < row["p"] <= 1 and warnings == ""
    # Each fold's winner said the same as its family's best, which it is.
    winner = read_scored(results)
    for fold in range(2):
        family = results.read_json(f"fold-{fold}.json")["family"]
        mine = winner.folds == fold
        np.testing.assert_array_equal(scored[family].predicted[mine], winner.predicted[mine])
    text, _ = compared(results.uri, form=Format.TABLE)
    assert "Of each family, every fold scores the configuration with the best inner score" in text
    assert "corrected for 1 pair by Holm's procedure" in text
    report = results.child("report").read_bytes("report.md").decode()
    assert "Probe families" in report and f"{row['first']} − {row['second']}" in report
    assert results.child("report", "figures").exists("probe-families.png")


def test_what_was_not_scored_names_the_command(finished_run: FinishedRun) -> None:
    path = finished_run.experiment
    with pytest.raises(UserError, match=rf"run `fersweep evaluate {path} evaluate\.families=true` first"):
        compared(path)
    with pytest.raises(UserError, match="only the winner of fold 0 was scored there.*evaluate.families=true"):
        compared(finished_run.evaluation.uri)
    with pytest.raises(UserError, match="--families compares the families of one run, and 2 are given"):
        compared(path, path)
