"""The sections of the report on repeated trainings of the winners and on ensembles: noise told apart from actors."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from tracking import records as rec
from tracking.drawing import INK, MUTED, SERIES, canvas, share_per_row, style
from tracking.records import Record
from tracking.report_parts import Column, Section, Table


class Spread(NamedTuple):
    """Standard deviations of one score.

    `training`: over trainings of one fold's winner with other seeds; `folds`: over the folds' means;
    `actors`: what is left of the latter without the noise that the means still hold.
    """

    training: float
    folds: float
    actors: float


def members_sections(folds: Sequence[Record]) -> list[Section]:
    """A section on repeats where there are some, and one on ensembles likewise."""
    ordered = sorted(folds, key=lambda fold: int(fold["fold"]))
    repeated = [fold for fold in ordered if len(fold.get("repeats") or ()) > 1]
    together = [fold for fold in ordered if fold.get("ensemble")]
    sections = [_noise_section(repeated)] if repeated else []
    return sections + ([_ensemble_section(together)] if together else [])


def spread_of(folds: Sequence[Record], score: str) -> Spread | None:
    """How a score varies, from at least two folds with repeats; None otherwise.

    The variance of the folds' means is that of the folds themselves plus training noise divided by the number
    of repeats, which is taken off again (not below zero).
    """
    training = rec.repeat_std(folds, score)
    _, deviation = rec.mean_std([fold["scores"][score] for fold in folds])
    if training is None or deviation is None:
        return None
    left = float(np.mean([training**2 / len(fold["repeats"]) for fold in folds]))
    return Spread(training, deviation, float(np.sqrt(max(deviation**2 - left, 0.0))))


def _noise_section(folds: Sequence[Record]) -> Section:
    spread = spread_of(folds, "uar")
    num = len(folds[0]["repeats"])
    texts = [_noise_text(spread, num)] if spread else [_single_text(folds, num)]
    texts.append(
        "A fold's test score is the mean over its trainings. They see the videos in the same order, as they share one "
        "read of the tokens, so the noise is that of first weights and dropout. Intervals are over "
        "all trainings; predictions, confusion matrices and recalls are of the first, which counts every video once."
    )
    return Section("Training noise and actor noise", texts, partial(repeats_figure, folds), _noise_tables(folds))


def _noise_text(spread: Spread, num: int) -> str:
    if spread.actors > 2 * spread.training:
        end = "Most of the spread comes from who is tested: more trainings would not lessen it, more actors would."
    elif spread.actors < spread.training / 2:
        end = "Most of it comes from training itself: a single training says little, and more repeats would help."
    else:
        end = "Both matter: differences smaller than either say nothing."
    return (
        f"Each fold's winner was trained {num} times with other seeds. Between trainings on the same actors the UAR "
        f"deviates by {rec.percent(spread.training)} percentage points; between folds, whose actors and winners "
        f"differ, by {rec.percent(spread.folds)}, of which {rec.percent(spread.actors)} remain without training noise. "
        f"{end}"
    )


def _single_text(folds: Sequence[Record], num: int) -> str:
    noise = rec.percent(rec.repeat_std(folds, "uar"))
    return (
        f"The fold's winner was trained {num} times with other seeds, and its UAR deviates by {noise} percentage "
        "points between them. With one fold nothing is known of the spread between actors."
    )


def _noise_tables(folds: Sequence[Record]) -> list[Table]:
    tables = []
    rows = []
    for score, title in rec.SCORE_TITLES.items():
        spread = spread_of(folds, score)
        if spread:
            mean, _ = rec.mean_std([fold["scores"][score] for fold in folds])
            rows.append([f"test {title} (%)", *map(rec.percent, (mean, *spread))])
    if rows:
        names = ("mean", "deviation over trainings", "deviation over folds", "of that by actors")
        tables.append(Table([Column("score"), *(Column(name, "n") for name in names)], rows))
    columns = [Column("fold", "n"), Column("seed", "n")]
    columns += [Column(f"test {title} (%)", "n test") for title in rec.SCORE_TITLES.values()]
    each = [
        [str(fold["fold"]), str(one["seed"]), *(rec.percent(one["scores"][score]) for score in rec.SCORES)]
        for fold in folds
        for one in fold["repeats"]
    ]
    return [*tables, Table(columns, each, title="Every training", folded=True)]


def repeats_figure(folds: Sequence[Record]) -> Figure:
    """A row a fold with a dot for each training's test UAR, the fold's mean, and the mean of all folds."""
    with style():
        figure, (axes,) = canvas("Test UAR of every training", 0.8 + 0.34 * len(folds))
        mean, _ = rec.mean_std([fold["scores"]["uar"] for fold in folds])
        axes.axvline(mean, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate("mean of the folds", (mean, -0.62), (4, 0), textcoords="offset points", size=8, color=MUTED)
        for row, fold in enumerate(folds):
            values = [one["scores"]["uar"] for one in fold["repeats"]]
            own = fold["scores"]["uar"]
            axes.scatter(values, [row] * len(values), s=24, color=SERIES[0], alpha=0.7, linewidth=0, zorder=2)
            axes.plot([own, own], [row - 0.24, row + 0.24], color=INK, linewidth=2, zorder=3)
            _, deviation = rec.mean_std(values)
            text = f"{rec.percent(own, deviation)} %"
            axes.annotate(text, (1.0, row), xycoords=("axes fraction", "data"), ha="right", va="center")
        share_per_row(axes, [f"fold {fold['fold']}" for fold in folds], "test UAR", above=0.95, right=0.3)
    return figure


def _ensemble_section(folds: Sequence[Record]) -> Section:
    own = [fold["scores"]["uar"] for fold in folds]
    joint = [fold["ensemble"]["scores"]["uar"] for fold in folds]
    difference, spread = rec.mean_std([a - b for a, b in zip(joint, own, strict=True)])
    num = max(int(fold["ensemble"]["asked"]) for fold in folds)
    sign = "more" if difference >= 0 else "less"
    margin = "" if spread is None else f" (deviation of the difference over folds: {rec.percent(spread)})"
    texts = [
        f"Averaging the probabilities of each fold's {num} best configurations recognises "
        f"{rec.percent(*rec.mean_std(joint))} % of an average class, {rec.percent(abs(difference))} percentage points "
        f"{sign} than the winner alone{margin}.",
        "Its members were chosen by inner scores alone, so these are test scores too. They stand beside the winner's, "
        "which remain the result of this report.",
        *(f"Fold {fold['fold']}: {note}." for fold in folds for note in fold["ensemble"]["notes"]),
    ]
    columns = [Column("fold", "n"), Column("configurations", "keep")]
    columns += [Column(f"ensemble: test {title} (%)", "n test") for title in rec.SCORE_TITLES.values()]
    columns.append(Column("winner alone: test UAR (%)", "n test"))
    rows = [
        [
            str(fold["fold"]),
            ", ".join(map(str, fold["ensemble"]["trials"])),
            *(rec.percent(fold["ensemble"]["scores"][score]) for score in rec.SCORES),
            rec.percent(fold["scores"]["uar"]),
        ]
        for fold in folds
    ]
    means = [rec.percent(*rec.mean_std([f["ensemble"]["scores"][s] for f in folds])) for s in rec.SCORES]
    foot = ["mean", "", *means, rec.percent(*rec.mean_std(own))]
    return Section("An ensemble of the best configurations", texts, tables=[Table(columns, rows, foot)])
