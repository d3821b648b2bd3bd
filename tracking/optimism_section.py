"""The section of the report on what choosing on the test folds would claim, next to what is true.

Whatever stands here beside the test results is labelled as no such thing. Its records, one for each
configuration of each fold, keep what they scored on the test fold apart from test scores:
    fold: int; selection: "the test fold"; trial: int; family: str; inner_score: float;
    test_fold_scores: {"uar", "war", "macro_f1"} | None; reason: str | None
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from tracking import records as rec
from tracking.drawing import INK, MUTED, SERIES, SURFACE, canvas, share_per_row, style
from tracking.records import Record
from tracking.report_parts import Column, Section, Table

TITLE = "What choosing on the test folds would claim"
LABEL = "selected on the test fold: not a test result"


class FoldChoice(NamedTuple):
    """One fold's result (its record), its configurations that have a score, and among these winner and best.

    The winner is here with its first training, as all others are trained once; the result is the mean over repeats.
    """

    result: Record
    tried: list[Record]
    winner: Record
    best: Record

    @property
    def gain(self) -> float:
        """What choosing on the test fold adds to the UAR."""
        return float(self.best["test_fold_scores"]["uar"] - self.winner["test_fold_scores"]["uar"])


def optimism_section(folds: Sequence[Record], configurations: Sequence[Record]) -> Section:
    """The honest result of every fold beside the best of its configurations by its own test score.

    Raises ValueError when a fold's winner is not among its configurations, or a record does not say what it was
    chosen by.
    """
    choices = fold_choices(folds, configurations)
    return Section(
        TITLE,
        _texts(choices, configurations),
        partial(optimism_figure, choices),
        [_choice_table(choices), _configuration_table(choices)],
    )


def fold_choices(folds: Sequence[Record], configurations: Sequence[Record]) -> list[FoldChoice]:
    """What each evaluated fold reports, and what its test part would choose; the earlier of two that are equal."""
    rec.check_test_results(folds)
    for record in configurations:
        if record.get("selection") != "the test fold":
            raise ValueError(
                f"fold {record['fold']}, trial {record['trial']}: selection is {record.get('selection')}; what is "
                "chosen on the test fold must say so"
            )
    choices = []
    for fold in sorted(folds, key=lambda fold: int(fold["fold"])):
        tried = [r for r in configurations if r["fold"] == fold["fold"] and r["test_fold_scores"] is not None]
        winner = next((record for record in tried if record["trial"] == fold["trial"]), None)
        if winner is None:
            raise ValueError(f"fold {fold['fold']}: its winner, trial {fold['trial']}, has no score to compare with")
        best = min(tried, key=lambda r: (-r["test_fold_scores"]["uar"], r["trial"]))
        choices.append(FoldChoice(fold, sorted(tried, key=lambda r: int(r["trial"])), winner, best))
    return choices


def _texts(choices: Sequence[FoldChoice], configurations: Sequence[Record]) -> list[str]:
    honest = rec.mean_std([choice.result["scores"]["uar"] for choice in choices])
    chosen = rec.mean_std([choice.best["test_fold_scores"]["uar"] for choice in choices])
    once, _ = rec.mean_std([choice.winner["test_fold_scores"]["uar"] for choice in choices])
    gain, _ = rec.mean_std([choice.gain for choice in choices])
    sizes = sorted({len(choice.tried) for choice in choices})
    span = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    failed = sum(record["test_fold_scores"] is None for record in configurations)
    repeated = any(len(choice.result.get("repeats") or ()) > 1 for choice in choices)
    than = f" more than the {rec.percent(once)} % of the winners' first trainings" if repeated else ""
    texts = [
        f"The test result is {rec.percent(*honest)} % UAR. Had every fold's configuration been chosen by its own test "
        f"score, {rec.percent(*chosen)} % would be claimed ({LABEL}): {rec.percent(gain)} percentage points{than}, "
        "which come from looking at the answers.",
        f"For this, every complete configuration of a fold's search ({span} a fold) was trained again as the winner "
        "was, on all actors outside the fold, and scored on the fold. Configurations that the search had pruned were "
        "left out; with them the claim could only be higher.",
    ]
    if failed:
        texts.append(f"Left out too: {failed} whose training failed.")
    return texts


def optimism_figure(choices: Sequence[FoldChoice]) -> Figure:
    """A row a fold: every configuration's score on the test fold, the winner's, and the best by its own test score."""
    with style():
        figure, (axes,) = canvas(
            f"UAR on the test folds: the winner, and the best, {LABEL}", 1.05 + 0.36 * len(choices)
        )
        axes.set_title(f"winner |    best by its own test score ○ ({LABEL})", size=8.5)
        for row, choice in enumerate(choices):
            values = [record["test_fold_scores"]["uar"] for record in choice.tried]
            axes.scatter(values, [row] * len(values), s=14, color=MUTED, alpha=0.45, linewidth=0, zorder=1)
            honest, best = (one["test_fold_scores"]["uar"] for one in (choice.winner, choice.best))
            axes.plot([honest, honest], [row - 0.26, row + 0.26], color=SERIES[0], linewidth=2.6, zorder=3)
            axes.scatter([best], [row], s=46, facecolor=SURFACE, edgecolor=SERIES[1], linewidth=1.6, zorder=2)
            text = f"+{100 * choice.gain:.1f}"
            axes.annotate(text, (1.0, row), xycoords=("axes fraction", "data"), ha="right", va="center", color=INK)
        names = [f"fold {choice.result['fold']}" for choice in choices]
        share_per_row(axes, names, "UAR on the fold's test actors", above=0.6, right=0.14)
    return figure


def _choice_table(choices: Sequence[FoldChoice]) -> Table:
    columns = [
        Column("fold", "n"),
        Column("test UAR (%), the result", "n test"),
        Column("UAR of the winner's first training (%)", "n"),
        Column("UAR of the median configuration (%)", "n"),
        Column(f"UAR of the best by its own test score (%), {LABEL}", "n"),
        Column("which is", "keep"),
    ]
    rows = []
    for choice in choices:
        median = float(np.median([record["test_fold_scores"]["uar"] for record in choice.tried]))
        scores = (one["test_fold_scores"]["uar"] for one in (choice.winner, choice.best))
        once, best = map(rec.percent, scores)
        which = f"{choice.best['family']}, trial {choice.best['trial']}"
        honest = rec.percent(choice.result["scores"]["uar"])
        rows.append([str(choice.result["fold"]), honest, once, rec.percent(median), best, which])
    means = [
        rec.percent(*rec.mean_std(values))
        for values in (
            [choice.result["scores"]["uar"] for choice in choices],
            [choice.winner["test_fold_scores"]["uar"] for choice in choices],
            [choice.best["test_fold_scores"]["uar"] for choice in choices],
        )
    ]
    return Table(columns, rows, ["mean", means[0], means[1], "", means[2], ""])


def _configuration_table(choices: Sequence[FoldChoice]) -> Table:
    columns = [Column("fold", "n"), Column("trial", "n"), Column("family")]
    columns += [Column("inner validation UAR (%)", "n"), Column("UAR on the test fold (%), not a test result", "n")]
    rows = [
        [
            str(record["fold"]),
            str(record["trial"]),
            record["family"],
            rec.percent(record["inner_score"]),
            rec.percent(record["test_fold_scores"]["uar"]),
        ]
        for choice in choices
        for record in choice.tried
    ]
    return Table(columns, rows, title="Every configuration", folded=True)
