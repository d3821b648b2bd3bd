"""The report's section that places a score among anchors: guessing, colours alone, human raters, the paper's claim.

Human numbers: CREMA-D's raters who saw the face without sound, majority vote of each clip, computed from the data
set's own summaryTable.csv, where tied classes share the credit (Cao et al., "CREMA-D: Crowd-sourced emotional
multimodal actors dataset", 2014). Nothing is listed that nobody measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from tracking import records as rec
from tracking.drawing import GRID, MUTED, SERIES, bare, canvas, style
from tracking.records import Record
from tracking.report_parts import Column, Section, Table


@dataclass(frozen=True)
class HumanRaters:
    """Shares that human raters reach on a data set; `recall` by the names of its classes."""

    uar: float
    war: float
    recall: Mapping[str, float]
    source: str


HUMANS = {
    "crema-d": HumanRaters(
        uar=0.691,
        war=0.685,
        recall={"angry": 0.685, "disgust": 0.661, "fearful": 0.546, "happy": 0.961, "neutral": 0.933, "sad": 0.360},
        source="majority vote of the raters who saw the face without sound, over all clips (the data set's "
        "summaryTable.csv; ties share the credit)",
    )
}
_PAPER = "Eing et al. (2026, arXiv 2601.09524) report for a frozen V-JEPA ViT-H/16 at 384 px with an attentive probe"
CLAIMS = {
    "crema-d": f"{_PAPER} a WAR on CREMA-D that lies 1.48 points above every vision-only method before it, over "
    "five actor-disjoint folds of their own drawing.",
    "ravdess": f"{_PAPER} the state of the art on RAVDESS over five folds.",
}
_NAMES = {"crema-d": "CREMA-D", "ravdess": "RAVDESS"}


@dataclass(frozen=True)
class Anchors:
    """What the section is made of.

    `fold_records` are the run's own (tracking/records.py); `colours` those of the probe on mean colours, with
    `fold`, `scores`, `recall`, `confusion` and `num_lost`; `drawn` says that the videos are drawn ones which
    only bear a data set's name, `note` what there is to say in words.
    """

    dataset: str
    label_names: Sequence[str]
    fold_records: Sequence[Record]
    colours: Sequence[Record] = ()
    drawn: bool = False
    note: str = ""


@dataclass(frozen=True)
class Anchor:
    """A row: shares of UAR and WAR with their deviations over folds, recalls by class, what it is."""

    name: str
    uar: float
    war: float
    what: str
    uar_deviation: float | None = None
    war_deviation: float | None = None
    recall: Sequence[float | None] = ()
    folds: Sequence[float] = ()
    own: bool = False


def anchor_rows(anchors: Anchors) -> list[Anchor]:
    """The rows, the highest UAR first; what is not known of this data set has none."""
    names = anchors.label_names
    totals = rec.total_confusion(anchors.fold_records, len(names)).sum(axis=1)
    largest = int(totals.argmax())
    always = f"WAR: the share of {names[largest]} among the test videos; UAR: one class of {len(names)}, as in guessing"
    majority = [float(index == largest) for index in range(len(names))]
    rows = [
        Anchor(
            "always the most frequent class",
            1 / len(names),
            float(totals[largest] / max(int(totals.sum()), 1)),
            always,
            recall=majority,
        )
    ]
    if anchors.colours:
        what = "logistic regression on the mean colours of a coarse grid, on the same folds: no face is seen"
        rows.append(_measured("colours alone", what, anchors.colours, names))
    humans = HUMANS.get(anchors.dataset)
    if humans is not None and set(humans.recall) == set(names):
        recall = [humans.recall[name] for name in names]
        real = f" of the real {_NAMES[anchors.dataset]}" if anchors.drawn else ""
        rows.append(Anchor(f"human raters{real}", humans.uar, humans.war, humans.source, recall=recall))
    what = f"mean ± standard deviation over {len(anchors.fold_records)} folds, actors never seen"
    rows.append(_measured("this run", what, anchors.fold_records, names, own=True))
    return sorted(rows, key=lambda row: -row.uar)


def anchors_section(anchors: Anchors) -> Section:
    """Where the score stands. Raises ValueError without a fold record."""
    rows = anchor_rows(anchors)
    columns = [Column("who", "keep"), Column("UAR (%)", "n"), Column("WAR (%)", "n"), Column("what it is")]
    cells = [
        [row.name, rec.percent(row.uar, row.uar_deviation), rec.percent(row.war, row.war_deviation), row.what]
        for row in rows
    ]
    classes = [Column("recall (%)", "keep"), *(Column(name, "n") for name in anchors.label_names)]
    recalls = [[row.name, *(rec.percent(share) for share in row.recall)] for row in rows]
    tables = [Table(columns, cells), Table(classes, recalls, title="Recall of every class", folded=True)]
    return Section("Where the score stands", _texts(anchors, rows), partial(anchors_figure, rows), tables)


def _texts(anchors: Anchors, rows: Sequence[Anchor]) -> list[str]:
    by_name = {row.name: row for row in rows}
    texts = [anchors.note] if anchors.note else []
    if anchors.colours:
        gap = 100 * (by_name["this run"].uar - by_name["colours alone"].uar)
        side = "above" if gap >= 0 else "below"
        texts.append(
            f"This run's UAR lies {abs(gap):.1f} points {side} that of a probe that is given colours alone, which "
            "can only tell light, background and clothes."
        )
    lost = sum(record["num_lost"] for record in anchors.colours)
    if lost:
        texts.append(f"{lost} test videos could not be decoded for their colours and are left out of that row.")
    if anchors.dataset in CLAIMS:
        texts.append(CLAIMS[anchors.dataset])
    if anchors.drawn and (anchors.dataset in CLAIMS or anchors.dataset in HUMANS):
        name = _NAMES[anchors.dataset]
        texts.append(
            f"The videos of this run are drawn: what is said here of people and of the paper belongs to the real "
            f"{name}, and this run's score cannot be compared with it."
        )
    return texts


def _measured(
    name: str, what: str, folds: Sequence[Record], label_names: Sequence[str], *, own: bool = False
) -> Anchor:
    uars = [fold["scores"]["uar"] for fold in folds]
    uar, uar_deviation = rec.mean_std(uars)
    war, war_deviation = rec.mean_std([fold["scores"]["war"] for fold in folds])
    recall = rec.class_recalls(rec.total_confusion(folds, len(label_names)))
    return Anchor(name, uar, war, what, uar_deviation, war_deviation, recall, uars, own)


def anchors_figure(rows: Sequence[Anchor]) -> Figure:
    """UAR of every anchor on one line each, the run's own with its folds and their deviation."""
    with style():
        figure, (axes,) = canvas("UAR beside its anchors", 0.65 + 0.36 * len(rows))
        axes.set_title("UAR of the folds, mean ± one deviation", loc="left")
        for row, anchor in enumerate(rows):
            _place(axes, row, anchor)
        axes.set_xlim(0, 1.3)  # room for the numbers at the right
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(range(len(rows)), [anchor.name for anchor in rows])
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        bare(axes, grid="x")
    return figure


def _place(axes: Axes, row: int, anchor: Anchor) -> None:
    color = SERIES[0] if anchor.own else MUTED
    spread = anchor.uar_deviation or 0.0
    axes.plot([0, anchor.uar], [row, row], color=GRID, linewidth=1.2, zorder=1)
    if spread:
        ends = [anchor.uar - spread, min(anchor.uar + spread, 1.0)]
        axes.plot(ends, [row, row], color=color, linewidth=5, alpha=0.3, solid_capstyle="round", zorder=2)
    axes.scatter(anchor.folds, [row] * len(anchor.folds), s=10, color=color, alpha=0.6, linewidth=0, zorder=3)
    axes.plot([anchor.uar, anchor.uar], [row - 0.26, row + 0.26], color=color, linewidth=2.4, zorder=4)
    text = rec.percent(anchor.uar, anchor.uar_deviation) + " %"
    right = max([anchor.uar + spread, *anchor.folds])
    weight = "bold" if anchor.own else "normal"
    axes.annotate(text, (right, row), (8, 0), textcoords="offset points", va="center", weight=weight)
