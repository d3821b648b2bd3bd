"""The honest result and what choosing on the test fold would claim, never without its label."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.tracking_records import LABELS, sweep
from tracking.optimism_section import LABEL, TITLE, fold_choices, optimism_figure, optimism_section
from tracking.report import render_html, render_markdown
from tracking.report_parts import ReportData

FOLDS, PROBES = sweep(folds=2, trials=16)


def record(fold: int, trial: int, uar: float | None) -> dict[str, Any]:
    scores = None if uar is None else {"uar": uar, "war": uar, "macro_f1": uar}
    reason = None if scores else "training loss is nan"
    known = {"fold": fold, "trial": trial, "family": "linear", "inner_score": 0.4}
    return {**known, "selection": "the test fold", "test_fold_scores": scores, "reason": reason}


def tried() -> list[dict[str, Any]]:
    """The winner with its own score, and others, of which trial 91 seems best in both folds; 92 equals it."""
    found = []
    for fold in FOLDS:
        number = fold["fold"]
        found += [record(number, fold["trial"], fold["scores"]["uar"]), record(number, 90, 0.3)]
        found += [record(number, 92, 0.7123 + 0.02 * number), record(number, 91, 0.7123 + 0.02 * number)]
        found += [record(number, 93, None)]
    return found


def test_the_best_by_its_own_test_score_stands_beside_the_result() -> None:
    choices = fold_choices(FOLDS, tried())
    assert [choice.best["trial"] for choice in choices] == [91, 91]
    assert [len(choice.tried) for choice in choices] == [4, 4]
    section = optimism_section(FOLDS, tried())
    uars = [fold["scores"]["uar"] for fold in FOLDS]
    gain = np.mean([0.7123, 0.7323]) - np.mean(uars)
    assert f"{100 * gain:.1f} percentage points, which come from looking at the answers" in section.texts[0]
    assert "(4 a fold)" in section.texts[1] and "pruned were left out" in section.texts[1]
    assert section.texts[2] == "Left out too: 2 whose training failed."
    table, every = section.tables
    assert table.rows[0][1] == f"{100 * uars[0]:.1f}" and table.rows[0][4:] == ["71.2", "linear, trial 91"]
    assert table.rows[1][3] == f"{100 * np.median([uars[1], 0.3, 0.7323, 0.7323]):.1f}"
    assert every.folded and len(every.rows) == 8


def test_trainings_that_were_repeated_are_compared_one_by_one() -> None:
    """The mean over repeats may lie above the best single training, which says nothing about choosing."""
    several = [[{"seed": 1, "scores": fold["scores"]}, {"seed": 2, "scores": fold["scores"]}] for fold in FOLDS]
    folds = [
        {**fold, "repeats": repeats, "scores": dict.fromkeys(fold["scores"], 0.75)}
        for fold, repeats in zip(FOLDS, several, strict=True)
    ]
    choices = fold_choices(folds, tried())
    uars = [fold["scores"]["uar"] for fold in FOLDS]
    assert [choice.gain for choice in choices] == pytest.approx([0.7123 - uars[0], 0.7323 - uars[1]])
    section = optimism_section(folds, tried())
    assert section.texts[0].startswith("The test result is 75.0 ± 0.0 % UAR.")
    assert f"more than the {100 * np.mean(uars):.1f} % of the winners' first trainings" in section.texts[0]
    assert section.tables[0].rows[0][1:3] == ["75.0", f"{100 * uars[0]:.1f}"]


def test_no_column_but_the_results_looks_like_a_test_score() -> None:
    for table in optimism_section(FOLDS, tried()).tables:
        marked = [column.name for column in table.columns if "test" in column.kind.split()]
        assert marked in (["test UAR (%), the result"], [])
        for column in table.columns:
            if "the best by its own test score" in column.name:
                assert column.name.endswith(LABEL)


@pytest.mark.parametrize("render", [render_html, render_markdown])
def test_the_report_prints_what_was_chosen_on_the_test_fold_under_its_label_alone(render: Any) -> None:
    data = ReportData(title="A sweep", protocol="nested", dataset="ravdess", label_names=LABELS, fold_records=FOLDS)
    plain = render(data)
    both = render(replace(data, details=[optimism_section(FOLDS, tried())]))
    assert LABEL not in plain and TITLE not in plain
    claimed = f"{100 * np.mean([0.7123, 0.7323]):.1f}"
    assert claimed == "72.2"
    places = [match.start() for match in re.finditer(r"(?<![\d.])72\.2(?![\d])", both)]
    assert len(places) >= 2 and not re.search(r"(?<![\d.])72\.2(?![\d])", plain)
    start = both.index(f">{TITLE}<" if render is render_html else f"## {TITLE}")
    end = both.index("Failures", start)
    assert all(start < place < end for place in places)
    assert LABEL in both[start : places[1]]
    assert both[: both.index("Test scores of every fold")] == plain[: plain.index("Test scores of every fold")]


def test_records_that_hide_what_they_were_chosen_by_are_refused() -> None:
    with pytest.raises(ValueError, match="fold 0, trial 91: selection is nested; what is chosen on the test fold must"):
        optimism_section(FOLDS, [{**record(0, 91, 0.7), "selection": "nested"}])
    lost = [one for one in tried() if one["fold"] == 0 or one["trial"] != FOLDS[1]["trial"]]
    with pytest.raises(ValueError, match=f"fold 1: its winner, trial {FOLDS[1]['trial']}, has no score to compare"):
        optimism_section(FOLDS, lost)
    with pytest.raises(ValueError, match="no test result"):
        optimism_section([{**FOLDS[0], "selection": "the test fold"}], tried())


def test_the_figure_marks_result_and_claim_of_every_fold_and_says_which_is_which() -> None:
    (axes,) = optimism_figure(fold_choices(FOLDS, tried())).axes
    assert LABEL in axes.get_title(loc="left")
    dots = [np.asarray(one.get_offsets()) for one in axes.collections]
    assert [len(one) for one in dots] == [4, 1, 4, 1]
    assert dots[1][0].tolist() == [0.7123, 0] and dots[3][0, 0] == pytest.approx(0.7323)
    assert [line.get_xdata()[0] for line in axes.lines] == [fold["scores"]["uar"] for fold in FOLDS]  # type: ignore[index]
