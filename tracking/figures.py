"""The figures of a sweep, from plain records. Each function returns a matplotlib Figure and keeps no state.

The training, inner-validation and test scores never share a panel without being named. What the records mean:
tracking/records.py; how figures become SVG or PNG: tracking/drawing.py.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from tracking import records as rec
from tracking.drawing import GRID, INK, MARKERS, MUTED, SERIES, SURFACE, bare, canvas, message, spread, style
from tracking.drawing import to_png as to_png
from tracking.drawing import to_svg as to_svg
from tracking.importances import Importances, importances
from tracking.records import Record

_DEEPEST = 0.6  # the deepest shade on which a number is still read with ease, on a light page and on a dark one


def confusion_figure(confusion: npt.NDArray[np.int64] | Sequence[Sequence[int]], label_names: Sequence[str]) -> Figure:
    """Counts of int64[C, C] (true by predicted), shaded by the share of the true class, with the recalls."""
    counts = np.asarray(confusion, np.int64)
    num = len(label_names)
    if counts.shape != (num, num):
        raise ValueError(f"a confusion matrix of shape {counts.shape} does not fit {num} label names")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 9.0 if num <= 10 else max(4.0, 90.0 / num)
    with style():
        figure, (axes,) = canvas("Confusion matrix: true class by predicted class", 1.2 + min(0.42 * num, 5.0))
        for (row, column), count in np.ndenumerate(counts):
            axes.fill_between(
                [column - 0.48, column + 0.48],
                row - 0.47,
                row + 0.47,
                color=SERIES[0],
                alpha=_DEEPEST * float(shares[row, column]),
                linewidth=0,
            )
            weight = "bold" if row == column else "normal"
            color = INK if count else MUTED
            axes.text(column, row, str(count), ha="center", va="center", size=size, weight=weight, color=color)
        for row, recall in enumerate(rec.class_recalls(counts)):
            text = "none" if recall is None else f"{100 * recall:.0f} %"
            axes.text(num - 0.2, row, text, va="center", size=size, color=INK if recall else MUTED)
        axes.text(num - 0.2, -0.75, "recall", size=size, color=MUTED)
        axes.text(-0.62, -0.75, "true", size=size, color=MUTED, ha="right")
        axes.set_xlim(-0.55, num + 0.45)
        axes.set_ylim(num - 0.45, -1.05)
        _name_cells(axes, label_names, size)
    return figure


def _name_cells(axes: Axes, names: Sequence[str], size: float) -> None:
    bare(axes)
    axes.spines["bottom"].set_visible(False)
    long = max(map(len, names), default=0) * len(names) > 70
    axes.set_xticks(range(len(names)), names, size=size, rotation=40 if long else 0, ha="right" if long else "center")
    axes.set_yticks(range(len(names)), names, size=size)
    axes.set_xlabel("predicted", loc="left", size=size)


def learning_curves(probes: Sequence[Record]) -> Figure:
    """One line a fold over the epochs: training and inner-validation loss, and inner-validation UAR."""
    title = "Learning curves of the chosen probes"
    drawn = [p for p in probes if p["curves"]]
    if not drawn:
        return message(title, "No learning curves: no chosen probe has a recorded epoch.")
    validated = any(_points(p, "validation_uar")[0] for p in drawn)  # a fixed recipe has no inner validation
    with style():
        figure, panels = canvas(title, 2.9, (1, 1.15) if validated else (1,))
        panels[0].set_title("Loss: training —, inner validation - -" if validated else "Training loss")
        for i, probe in enumerate(drawn):
            color = SERIES[i % len(SERIES)]
            _curve(panels[0], probe, "train_loss", color, "-")
            _curve(panels[0], probe, "validation_loss", color, (0, (3, 2)))
            if validated:
                _curve(panels[1], probe, "validation_uar", color, "-")
        if validated:
            panels[1].set_title("Inner validation UAR")
            panels[1].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        _label_ends(panels[-1], drawn, "validation_uar" if validated else "train_loss")
        for axes in panels:
            bare(axes, grid="y")
            axes.set_xlabel("epoch", loc="right")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return figure


def _points(probe: Record, key: str) -> tuple[list[float], list[float]]:
    epochs = [epoch for epoch in probe["curves"] if epoch.get(key) is not None]
    return [epoch["epoch"] for epoch in epochs], [epoch[key] for epoch in epochs]


def _curve(axes: Axes, probe: Record, key: str, color: str, line: str | tuple[int, tuple[int, int]]) -> None:
    x, y = _points(probe, key)
    marker = "o" if len(x) == 1 else ""  # a line of one point is invisible
    axes.plot(x, y, color=color, linestyle=line, linewidth=1.6, marker=marker, markersize=4)


def _label_ends(axes: Axes, probes: Sequence[Record], key: str) -> None:
    """Write "fold k" beside the last point of every line, pushed apart where they would overlap."""
    ends = [(i, probe, *_points(probe, key)) for i, probe in enumerate(probes)]
    ends = [end for end in ends if end[2]]
    low, high = axes.get_ylim()
    places = spread([y[-1] for _, _, _, y in ends], (high - low) / 15)
    right = max((x[-1] for _, _, x, _ in ends), default=1)
    for (i, probe, x, y), place in zip(ends, places, strict=True):
        color = SERIES[i % len(SERIES)]
        axes.plot([x[-1], right * 1.03], [y[-1], place], color=color, linewidth=0.6)
        axes.text(right * 1.04, place, f"fold {probe['fold']}", va="center")
    axes.set_xlim(right=right * 1.22)


def search_history(probes: Sequence[Record]) -> Figure:
    """Inner-validation UAR by trial number, with the best so far over the folds, and by family."""
    title = "Search history: inner-validation UAR of every configuration"
    shown = rec.scored(probes)
    if not shown:
        return message(title, "No search history: no configuration has a score.")
    families = sorted({p["family"] for p in shown})
    with style():
        figure, (left, right) = canvas(title, 3.4, (2.1, max(1.0, 0.32 * len(families))))
        right.sharey(left)
        left.set_title("by trial: complete ●, pruned ○, failed ×")
        right.set_title("by family")
        for i, family in enumerate(families):
            mine = [p for p in shown if p["family"] == family]
            jitter = [i + 0.5 * (k * 0.618034 % 1 - 0.5) for k in range(len(mine))]  # even, and always the same
            for state in ("pruned", "complete"):
                picked = [k for k, p in enumerate(mine) if (p["state"] == "complete") == (state == "complete")]
                scores = [mine[k]["score"] for k in picked]
                _dots(left, [mine[k]["trial"] for k in picked], scores, i, state)
                _dots(right, [jitter[k] for k in picked], scores, i, state)
        _best_so_far(left, probes)
        _failed(left, probes)
        _dress_history(left, right, families)
    return figure


def _dots(axes: Axes, x: Sequence[float], y: Sequence[float], family: int, state: str) -> None:
    color = SERIES[family % len(SERIES)]
    axes.scatter(
        x,
        y,
        s=14,
        marker=MARKERS[(family + family // len(SERIES)) % len(MARKERS)],
        facecolor=color if state == "complete" else SURFACE,
        edgecolor=color,
        linewidth=0.9,
        alpha=0.9 if state == "complete" else 0.75,
    )


def _best_so_far(axes: Axes, probes: Sequence[Record]) -> None:
    length = max(int(p["trial"]) for p in probes) + 1
    best = []
    for fold in rec.fold_numbers(probes):
        scores = np.full(length, -np.inf)
        for p in rec.scored(probes, "complete"):
            if p["fold"] == fold:
                scores[p["trial"]] = p["score"]
        best.append(np.maximum.accumulate(scores))
    table = np.array(best)
    known = np.isfinite(table).all(axis=0)  # from where every fold has a first score
    if known.sum() < 2:
        return
    x, table = np.arange(length)[known], table[:, known]
    axes.fill_between(x, table.min(axis=0), table.max(axis=0), step="post", color=MUTED, alpha=0.18, linewidth=0)
    axes.step(x, table.mean(axis=0), where="post", color=INK, linewidth=1.6)
    text = "best so far" + (", mean and range of the folds" if len(best) > 1 else "")
    axes.annotate(text, (x[-1], table[:, -1].max()), (0, 5), textcoords="offset points", ha="right", size=8)


def _failed(axes: Axes, probes: Sequence[Record]) -> None:
    failed = [p["trial"] for p in probes if p["state"] == "failed"]
    axes.plot(failed, [0.02] * len(failed), "x", color=INK, markersize=4.5, transform=axes.get_xaxis_transform())


def _dress_history(left: Axes, right: Axes, families: Sequence[str]) -> None:
    bare(left, grid="y")
    bare(right, grid="y")
    left.set_xlabel("trial", loc="right")
    left.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    left.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    low, high = left.get_ylim()
    left.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    right.tick_params(labelleft=False)
    rotation = 0 if len(families) <= 2 else 40
    right.set_xticks(range(len(families)), families, rotation=rotation, ha="right" if rotation else "center")
    right.set_xlim(-0.6, len(families) - 0.4)


def parameter_importances(probes: Sequence[Record]) -> Figure:
    """How much of the scores' spread each hyperparameter explains (fANOVA), or why that is not known."""
    return importance_figure(importances(probes))


def importance_figure(found: Importances) -> Figure:
    """The figure of importances that are computed already."""
    title = "Importance of the hyperparameters for the inner-validation UAR"
    if found.reason:
        return message(title, f"No parameter importances: {found.reason}")
    names, shares = list(found.shares), list(found.shares.values())
    with style():
        figure, (axes,) = canvas(title, 0.9 + 0.3 * len(names))
        axes.set_title(f"share of the spread explained, {found.num_probes} complete configurations")
        _bars(axes, names, shares, [f"{100 * share:.0f} %" for share in shares])
    return figure


def _bars(axes: Axes, names: Sequence[str], values: Sequence[float], texts: Sequence[str]) -> None:
    bare(axes)
    axes.spines["bottom"].set_visible(False)
    axes.barh(range(len(names)), values, height=0.62, color=SERIES[0])
    for row, (value, text) in enumerate(zip(values, texts, strict=True)):
        axes.annotate(text, (value, row), (4, 0), textcoords="offset points", va="center")
    axes.set_xlim(0, max(values) * 1.18 or 1.0)
    axes.set_xticks([])
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()


def fold_scores(folds: Sequence[Record], chance: float | None = None) -> Figure:
    """Every fold's test scores as dots with their mean, and below, apart, the inner score it was selected on.

    `chance` is the UAR of guessing, marked in the rows of UAR.
    """
    title = "Test scores of every fold"
    if not folds:
        return message(title, "No test scores: no fold has been evaluated yet.")
    rows = [(f"test {rec.SCORE_TITLES[s]}", [(f["fold"], f["scores"][s]) for f in folds]) for s in rec.SCORES]
    inner = [(f["fold"], f["inner_score"]) for f in folds if f["inner_score"] is not None]
    if inner:
        rows.append(("inner validation UAR\n(selected on)", inner))
    with style():
        figure, (axes,) = canvas(title, 0.7 + 0.52 * len(rows))
        for row, (name, points) in enumerate(rows):
            _fold_row(axes, row, points, SERIES[0] if name.startswith("test") else MUTED)
        _chance(axes, chance, [row for row, (name, _) in enumerate(rows) if "UAR" in name])
        bare(axes, grid="x")
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.6)
    return figure


def _fold_row(axes: Axes, row: int, points: Sequence[tuple[int, float]], color: str) -> None:
    scores = [score for _, score in points]
    mean, deviation = rec.mean_std(scores)
    axes.plot([min(scores), max(scores)], [row, row], color=GRID, linewidth=4, solid_capstyle="round", zorder=1)
    axes.plot([mean, mean], [row - 0.24, row + 0.24], color=color, linewidth=2.2, zorder=3)
    axes.scatter(scores, [row] * len(scores), s=22, color=color, alpha=0.75, linewidth=0, zorder=2)
    text = rec.percent(mean, deviation) + " %"
    axes.annotate(text, (max(scores), row), (9, 0), textcoords="offset points", va="center")


def _chance(axes: Axes, chance: float | None, rows: Sequence[int]) -> None:
    """Mark guessing in some rows, named above them where no score is written, and end the axis at 100 %."""
    low, high = axes.get_xlim()
    low = low if chance is None else min(low, chance)
    axes.set_xlim(max(0.0, low - 0.05 * (high - low)), high + 0.25 * (high - low))
    axes.set_xticks([tick for tick in axes.get_xticks() if axes.get_xlim()[0] <= tick <= min(1.0, axes.get_xlim()[1])])
    if chance is not None:
        axes.vlines([chance] * len(rows), [row - 0.3 for row in rows], [row + 0.3 for row in rows], color=INK)
        for row in rows:
            above = (chance, row - 0.3)
            axes.annotate("guessing", above, (0, 1), textcoords="offset points", ha="center", va="bottom", size=8)


def stage_times(stage_seconds: Mapping[str, float]) -> Figure:
    """Bars of the time each stage took, in the order given."""
    title = "Time spent per stage"
    if not stage_seconds:
        return message(title, "No stage has recorded its time.")
    seconds = list(stage_seconds.values())
    with style():
        figure, (axes,) = canvas(title, 0.5 + 0.3 * len(seconds))
        _bars(axes, list(stage_seconds), seconds, [rec.duration(value) for value in seconds])
    return figure
