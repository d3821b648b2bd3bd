"""The section of the report on whether probabilities mean what they say: a reliability diagram and a verdict.

Guo et al., On Calibration of Modern Neural Networks, 2017 (arXiv 1706.04599).
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, PercentFormatter

from tracking import records as rec
from tracking.drawing import INK, MUTED, SERIES, SURFACE, bare, canvas, style
from tracking.records import Record
from tracking.report_parts import Column, Section, Table

TITLE = "Can the probabilities be trusted?"
# How far the error may lie above what chance alone gives.
GOOD, FAIR = 0.03, 0.08


def calibration_sections(folds: Sequence[Record]) -> list[Section]:
    """One section on the folds whose calibration was measured; none where it was not."""
    known = sorted((fold for fold in folds if fold.get("calibration")), key=lambda fold: int(fold["fold"]))
    if not known:
        return []
    figure = partial(reliability_figure, known)
    return [Section(TITLE, _texts(known), figure, [_fold_table(known), _bin_table(known)])]


def pooled_bins(folds: Sequence[Record], when: str) -> list[Record]:
    """The bins of all folds together, `when` the temperature is applied: "before" or "after"."""
    pooled: list[Record] = []
    for same in zip(*(fold["calibration"]["bins"][when] for fold in folds), strict=True):
        count = sum(item["count"] for item in same)
        means = {
            name: sum(item["count"] * item[name] for item in same if item["count"]) / count if count else None
            for name in ("confidence", "accuracy")
        }
        pooled.append({"low": same[0]["low"], "high": same[0]["high"], "count": count, **means})
    return pooled


def calibration_error(bins: Sequence[Record]) -> float:
    """The mean distance of confidence and accuracy over the answers (the expected calibration error)."""
    return _mean(bins, lambda item: abs(item["accuracy"] - item["confidence"]))


def chance_error(bins: Sequence[Record]) -> float:
    """The error that perfectly calibrated probabilities would show with as many answers, by sampling alone.

    The share of right answers among n that are right with probability c deviates from c by
    √(2/π · c(1-c)/n) on average, in the normal approximation.
    """
    return _mean(bins, lambda item: math.sqrt(2 / math.pi * item["confidence"] * _rest(item) / item["count"]))


def _rest(item: Record) -> float:
    return max(1.0 - float(item["confidence"]), 0.0)  # a confidence may exceed 1 by a rounding error


def _mean(bins: Sequence[Record], value: Callable[[Record], float]) -> float:
    filled = [item for item in bins if item["count"]]
    return float(sum(item["count"] * value(item) for item in filled) / sum(item["count"] for item in filled))


def excess_error(folds: Sequence[Record], when: str) -> float:
    """How far the error lies above what chance alone gives: of all folds together, or fold by fold if that is more.

    Each fold has a probe and a temperature of its own: taken together, one too sure and one not sure enough
    would look right.
    """
    together = pooled_bins(folds, when)
    single = [fold["calibration"]["bins"][when] for fold in folds]
    sizes = [sum(item["count"] for item in bins) for bins in single]
    excess = [size * (calibration_error(bins) - chance_error(bins)) for size, bins in zip(sizes, single, strict=True)]
    return max(calibration_error(together) - chance_error(together), float(sum(excess) / sum(sizes)))


def _grade(folds: Sequence[Record], when: str) -> str:
    excess = excess_error(folds, when)
    return "good" if excess <= GOOD else "fair" if excess <= FAIR else "bad"


def _texts(folds: Sequence[Record]) -> list[str]:
    before = pooled_bins(folds, "before")
    confidence = _mean(before, lambda item: float(item["confidence"]))
    accuracy = _mean(before, lambda item: float(item["accuracy"]))
    sure = "surer than it is right" if confidence > accuracy else "less sure than it is right"
    verdicts = {
        "good": "Yes, as far as this many videos can tell",
        "fair": f"Roughly; the probe is a little {sure}",
        "bad": f"No; the probe is {sure}",
    }
    texts = [
        f"{verdicts[_grade(folds, 'before')]}: its answers claim to be right in {rec.percent(confidence)} % of all "
        f"cases, and {rec.percent(accuracy)} % of them are. The expected calibration error is "
        f"{rec.percent(calibration_error(before))} %; perfect probabilities would show "
        f"{rec.percent(chance_error(before))} % with {sum(item['count'] for item in before):,} test videos by chance "
        "alone.",
        _temperature_text(folds),
    ]
    edge = [str(fold["fold"]) for fold in folds if not 0.06 < fold["calibration"]["temperature"] < 16]
    if edge:
        texts.append(
            f"Fold {', '.join(edge)}: the temperature lies at the end of its range, because almost all or none of the "
            "inner answers were right. It says little about other actors."
        )
    return texts


def _temperature_text(folds: Sequence[Record]) -> str:
    before, after = (calibration_error(pooled_bins(folds, when)) for when in ("before", "after"))
    temperatures = [fold["calibration"]["temperature"] for fold in folds]
    span = f"{min(temperatures):.2f}" + (f" to {max(temperatures):.2f}" if len(folds) > 1 else "")
    outcome = {
        "good": "With it they can be read as they are",
        "fair": "With it they can be read as a rough guide",
        "bad": "Even with it they should be read as a ranking, not as chances",
    }[_grade(folds, "after")]
    change = "falls to" if after < before else "does not fall: it is"
    return (
        f"A temperature for each fold ({span}; above 1 makes the probe less sure), fitted on the inner validation "
        f"actors alone, changes no answer. With it the error of the test videos {change} {rec.percent(after)} %. "
        f"{outcome}."
    )


def reliability_figure(folds: Sequence[Record]) -> Figure:
    """Accuracy over confidence, bin by bin, without and with the temperature; the area of a dot is its videos."""
    with style():
        figure, panels = canvas("Reliability of the probabilities on the test videos", 3.0, (1, 1))
        for axes, when, title in zip(panels, ("before", "after"), ("as they are", "with the temperature"), strict=True):
            bins = pooled_bins(folds, when)
            axes.set_title(f"{title}: error {rec.percent(calibration_error(bins))} %")
            _reliability(axes, bins)
        panels[0].set_ylabel("share that is right", loc="top")
        panels[1].tick_params(labelleft=False)
    return figure


def _reliability(axes: Axes, bins: Sequence[Record]) -> None:
    bare(axes, grid="y")
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    filled = [item for item in bins if item["count"]]
    total = sum(item["count"] for item in filled)
    for item in filled:
        x, y = item["confidence"], item["accuracy"]
        axes.plot([x, x], [x, y], color=SERIES[1], linewidth=1.4, zorder=2)
        area = 12 + 400 * item["count"] / total
        axes.scatter(
            [x], [y], s=area, color=SERIES[0], edgecolor=SURFACE, linewidth=0.6, alpha=0.9, zorder=3, clip_on=False
        )
    axes.set_xlim(0, 1.04)
    axes.set_ylim(-0.06, 1.06)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(0.25))
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("how sure the probe says it is", loc="right")
    axes.annotate("too sure", (0.97, 0.03), ha="right", color=INK, size=8)
    axes.annotate("not sure enough", (0.03, 0.97), va="top", color=INK, size=8)


def _fold_table(folds: Sequence[Record]) -> Table:
    columns = [Column("fold", "n"), Column("inner videos", "n"), Column("temperature", "n")]
    columns += [Column(f"error (%) {when}", "n") for when in ("as is", "with it", "by chance")]
    columns += [Column(f"nats {when}", "n") for when in ("as is", "with it")]
    rows = []
    for fold in folds:
        found = fold["calibration"]
        errors = [rec.percent(found["ece"][when]) for when in ("before", "after")]
        errors.append(rec.percent(chance_error(found["bins"]["after"])))
        likelihoods = [f"{found['nll'][when]:.3f}" for when in ("before", "after")]
        rows.append([str(fold["fold"]), str(found["num_inner"]), f"{found['temperature']:.2f}", *errors, *likelihoods])
    pooled = [rec.percent(calibration_error(pooled_bins(folds, when))) for when in ("before", "after")]
    pooled.append(rec.percent(chance_error(pooled_bins(folds, "after"))))
    foot = ["all", "", "", *pooled, "", ""]
    title = "Temperatures, calibration errors and negative log-likelihoods (nats) of the folds' test videos"
    note = "By chance: what the probabilities with their temperature would show if they were perfect."
    return Table(columns, rows, foot, title=title, folded=True, left_out=note)


def _bin_table(folds: Sequence[Record]) -> Table:
    columns = [
        Column("confidence (%)", "n"),
        Column("videos", "n"),
        Column("claimed (%)", "n"),
        Column("right (%)", "n"),
    ]
    rows = [
        [
            f"{100 * item['low']:.0f} to {100 * item['high']:.0f}",
            str(item["count"]),
            rec.percent(item["confidence"]),
            rec.percent(item["accuracy"]),
        ]
        for item in pooled_bins(folds, "before")
        if item["count"]
    ]
    return Table(columns, rows, title="The bins of the probabilities as they are", folded=True)
