"""Interactive figures (plotly) of a sweep, from plain records (tracking/records.py). Optuna draws what it can draw.

Importing plotly takes a second, so it is imported where a figure is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tracking import records as rec
from tracking.calibration_section import pooled_bins
from tracking.drawing import INK, MUTED, SERIES
from tracking.importances import importances
from tracking.probe_runs import family_colour
from tracking.records import Bounds, Record
from tracking.studies import shared_space, study_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MOST_SLICES = 12  # parameters side by side
SCORE = "inner-validation UAR"


def optimisation_history(probes: Sequence[Record]) -> Figure | None:
    """Optuna's history of every fold's study: each configuration and the best so far."""
    from optuna.visualization import plot_optimization_history

    folds = [fold for fold in rec.fold_numbers(probes) if _complete(probes, fold)]
    if not folds:
        return None
    figure = plot_optimization_history([_fold_study(probes, fold) for fold in folds], target_name=SCORE)
    for place, fold in enumerate(folds):
        for trace in figure.data:
            if len(folds) == 1 or (trace.name or "").endswith(f" of fold {fold}"):
                best, colour = trace.name.startswith("Best"), SERIES[place % len(SERIES)]
                trace.update(name=f"fold {fold}{', best so far' if best else ''}", legendgroup=f"fold {fold}")
                trace.update(marker={"color": colour}, line={"color": colour})
    return _dressed(figure, "Every configuration, and the best so far in its fold")


def score_by_family(probes: Sequence[Record]) -> Figure | None:
    """A box for every family with its configurations as dots; pruned ones stand beside the complete ones."""
    import plotly.graph_objects as go

    shown = rec.scored(probes)
    if not shown:
        return None
    figure = go.Figure()
    for family in sorted({probe["family"] for probe in shown}):
        for state in ("complete", "pruned"):
            mine = [probe for probe in shown if probe["family"] == family and probe["state"] == state]
            if mine:
                box = go.Box(y=[p["score"] for p in mine], name=f"{family}, {state}", boxpoints="all", pointpos=0)
                box.update(jitter=0.6, marker={"color": family_colour(family), "size": 5}, text=_hover(mine))
                figure.add_trace(box.update(opacity=1.0 if state == "complete" else 0.45))
    return _dressed(figure, "Scores by family", y=SCORE).update_layout(showlegend=False)


def parameter_importances(probes: Sequence[Record]) -> Figure | None:
    """What fANOVA says of the parameters that all configurations share (tracking/importances.py)."""
    import plotly.graph_objects as go

    found = importances(probes)
    if found.reason:
        return None
    names = list(reversed(found.shares))
    bar = go.Bar(x=[found.shares[n] for n in names], y=names, orientation="h", marker={"color": SERIES[0]})
    title = f"Share of the scores' spread that a parameter explains, {found.num_probes} complete configurations"
    return _dressed(go.Figure(bar), title).update_xaxes(tickformat=".0%")


def parallel_coordinates(probes: Sequence[Record]) -> Figure | None:
    """Optuna's parallel coordinates of the parameters that all complete configurations share."""
    from optuna.visualization import plot_parallel_coordinate

    complete = rec.scored(probes, "complete")
    names = list(shared_space([probe["params"] for probe in complete])) if complete else []
    if not names:
        return None
    figure = plot_parallel_coordinate(study_of(complete), params=names, target_name=SCORE)
    return _dressed(figure, "Complete configurations, a line each; drag along an axis to choose").update_layout(
        margin={"l": 90, "r": 60, "b": 90}
    )


def slices(probes: Sequence[Record]) -> Figure | None:
    """Optuna's slice plot: the score over each parameter that was varied."""
    from optuna.visualization import plot_slice

    complete = rec.scored(probes, "complete")
    names = _varied(complete)[:MOST_SLICES]
    if not names:
        return None
    figure = plot_slice(study_of(complete), params=names, target_name=SCORE)
    return _dressed(figure, "Score over each parameter").update_layout(width=max(900, 260 * len(names)))


def fold_scores(folds: Sequence[Record], intervals: Mapping[int, Mapping[str, Bounds]]) -> Figure | None:
    """Test scores of every fold with their 95 % intervals over actors, and the inner score it was selected on."""
    import plotly.graph_objects as go

    if not folds:
        return None
    figure = go.Figure()
    for place, score in enumerate(rec.SCORES):
        values = [fold["scores"][score] for fold in folds]
        bounds = [intervals.get(int(fold["fold"]), {}).get(score) for fold in folds]
        high = [b[2] - v if b else 0 for b, v in zip(bounds, values, strict=True)]
        low = [v - b[1] if b else 0 for b, v in zip(bounds, values, strict=True)]
        error = {"type": "data", "array": high, "arrayminus": low, "thickness": 1.2}
        x = [fold["fold"] + 0.12 * (place - 1) for fold in folds]
        name = f"test {rec.SCORE_TITLES[score]}"
        marker = {"color": SERIES[place], "size": 9}
        figure.add_trace(go.Scatter(x=x, y=values, mode="markers", name=name, error_y=error, marker=marker))
    inner = [fold for fold in folds if fold["inner_score"] is not None]
    if inner:
        x, y = [fold["fold"] + 0.24 for fold in inner], [fold["inner_score"] for fold in inner]
        marker = {"color": MUTED, "size": 9, "symbol": "circle-open"}
        figure.add_trace(go.Scatter(x=x, y=y, mode="markers", name=f"{SCORE} (selected on)", marker=marker))
    figure.update_xaxes(tickvals=[fold["fold"] for fold in folds], title="fold")
    title = "Test scores of every fold, with 95 % intervals over actors" if intervals else "Test scores of every fold"
    return _dressed(figure, title).update_yaxes(tickformat=".0%")


def confusion(folds: Sequence[Record], label_names: Sequence[str]) -> Figure | None:
    """The folds' confusion matrices together, true by predicted, shaded by the share of the true class."""
    import plotly.graph_objects as go

    if not folds:
        return None
    counts = rec.total_confusion(folds, len(label_names))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = list(label_names)
    heat = go.Heatmap(z=shares, x=names, y=names, text=counts, texttemplate="%{text}", colorscale="Blues")
    heat.update(zmin=0, zmax=1, hovertemplate="%{y} taken for %{x}: %{text} videos, %{z:.0%}<extra></extra>")
    heat.update(colorbar={"tickformat": ".0%", "title": "of the true class"})
    figure = _dressed(go.Figure(heat), "Confusion on all test videos", x="predicted", y="true")
    return figure.update_yaxes(autorange="reversed").update_layout(height=max(480, 60 * len(names)))


def reliability(folds: Sequence[Record]) -> Figure | None:
    """Accuracy over confidence on the test videos, without and with the folds' temperatures."""
    import plotly.graph_objects as go

    known = [fold for fold in folds if fold.get("calibration")]
    if not known:
        return None
    line = {"color": MUTED, "dash": "dot"}
    figure = go.Figure(go.Scatter(x=[0, 1], y=[0, 1], mode="lines", name="what it says is so", line=line))
    for place, (when, name) in enumerate((("before", "as they are"), ("after", "with the temperature"))):
        bins = [one for one in pooled_bins(known, when) if one["count"]]
        sizes = [6 + 24 * (one["count"] / max(b["count"] for b in bins)) ** 0.5 for one in bins]
        dots = go.Scatter(x=[b["confidence"] for b in bins], y=[b["accuracy"] for b in bins], mode="lines+markers")
        dots.update(name=name, marker={"color": SERIES[place], "size": sizes}, line={"color": SERIES[place]})
        figure.add_trace(dots.update(text=[f"{b['count']} videos" for b in bins]))
    figure.update_xaxes(range=[0, 1], tickformat=".0%").update_yaxes(range=[0, 1], tickformat=".0%")
    return _dressed(figure, "Reliability of the probabilities", x="confidence", y="share that is right")


def learning_curves(probes: Sequence[Record], folds: Sequence[Record]) -> Figure | None:
    """The winner of every fold over its epochs: training and inner-validation loss, inner-validation UAR."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    drawn = [probe for probe in rec.winners(probes, folds) if probe["curves"]]
    if not drawn:
        return None
    figure = make_subplots(cols=2, subplot_titles=("loss: training, inner validation dashed", SCORE))
    for place, probe in enumerate(drawn):
        colour, name = SERIES[place % len(SERIES)], f"fold {probe['fold']}: {probe['family']}"
        for key, column, dash in (
            ("train_loss", 1, "solid"),
            ("validation_loss", 1, "dash"),
            ("validation_uar", 2, "solid"),
        ):
            epochs = [epoch for epoch in probe["curves"] if epoch.get(key) is not None]
            curve = go.Scatter(x=[e["epoch"] for e in epochs], y=[e[key] for e in epochs], name=name, legendgroup=name)
            curve.update(line={"color": colour, "dash": dash}, mode="lines+markers", marker={"size": 4})
            figure.add_trace(curve.update(showlegend=column == 2), row=1, col=column)
    return _dressed(figure, "Learning curves of the folds' winners", x="epoch")


def _complete(probes: Sequence[Record], fold: int) -> list[Record]:
    return [probe for probe in rec.scored(probes, "complete") if probe["fold"] == fold]


def _fold_study(probes: Sequence[Record], fold: int) -> Any:
    mine = [probe for probe in probes if probe["fold"] == fold]
    return study_of(sorted(mine, key=lambda probe: int(probe["trial"])), f"fold {fold}")


def _varied(probes: Sequence[Record]) -> list[str]:
    names = sorted({name for probe in probes for name in probe["params"]}, key=lambda name: ("." in name, name))
    values = {name: {repr(probe["params"][name]) for probe in probes if name in probe["params"]} for name in names}
    return [name for name in names if len(values[name]) > 1]


def _hover(probes: Sequence[Record]) -> list[str]:
    return [
        f"fold {p['fold']}, configuration {p['trial']}<br>"
        + "<br>".join(f"{name}: {value}" for name, value in p["params"].items())
        for p in probes
    ]


def _dressed(figure: Figure, title: str, *, x: str | None = None, y: str | None = None) -> Figure:
    figure.update_layout(
        template="plotly_white", title={"text": title, "font": {"size": 15}}, font={"color": INK}, height=520
    )
    if x is not None:
        figure.update_xaxes(title=x)
    if y is not None:
        figure.update_yaxes(title=y)
    return figure
