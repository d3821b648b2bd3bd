"""The section of the report on probe families: the best configuration of each, scored beside the winners."""

from collections.abc import Sequence
from functools import partial

from tracking import records as rec
from tracking.comparison import differences_figure, explanation, words
from tracking.records import Record
from tracking.report_parts import Column, Section, Table


def families_sections(folds: Sequence[Record], pairs: Sequence[Record] = (), why_none: str = "") -> list[Section]:
    """One section where every fold has scored its families, else none.

    `pairs` of families as in tracking/comparison.py, or `why_none`: the reason why there are none.
    """
    if not folds or not all(fold.get("families") for fold in folds):
        return []
    ordered = sorted(folds, key=lambda fold: int(fold["fold"]))
    texts = [
        families_text(ordered),
        "These are test scores, and for comparing families alone: the result of this report remains that of the "
        "winners, whose family each fold chose by inner scores.",
        *(f"{line[0].upper()}{line[1:]}." for line in unscored(ordered)),
        *([explanation(len(pairs))] if pairs else []),
        *([f"Which differences are more than chance is not told: {why_none}."] if why_none else []),
    ]
    figure = partial(differences_figure, pairs) if pairs else None
    tables = [_means(ordered), *([_pairs(pairs)] if pairs else []), _each(ordered)]
    return [Section("Probe families", texts, figure=figure, tables=tables)]


def families_text(folds: Sequence[Record]) -> str:
    """What was compared, in words."""
    tried = ", ".join(f"{name} {sum(one['tried'] for one in _of(folds, name))}" for name in _names(folds))
    return (
        "Of each family, every fold scores the configuration with the best inner score, trained again on everybody "
        f"outside the fold. Configurations tried in all folds: {tried}; a family with more of them had more chances."
    )


def unscored(folds: Sequence[Record]) -> list[str]:
    """A line for every family that a fold could not score, with the reason."""
    return [
        f"{one['family']} is not scored in fold {fold['fold']} and is compared on the others alone: {one['reason']}"
        for fold in folds
        for one in fold["families"]
        if one["reason"]
    ]


def _names(folds: Sequence[Record]) -> list[str]:
    """The families, the one with the best mean test UAR first; those without any score last."""

    def rank(name: str) -> tuple[float, str]:
        uars = [one["scores"]["uar"] for one in _of(folds, name) if one["scores"]]
        return (-rec.mean_std(uars)[0] if uars else 1.0, name)

    return sorted({one["family"] for fold in folds for one in fold["families"]}, key=rank)


def _of(folds: Sequence[Record], name: str) -> list[Record]:
    return [one for fold in folds for one in fold["families"] if one["family"] == name]


def _means(folds: Sequence[Record]) -> Table:
    columns = [Column("family", "id"), Column("folds", "n"), Column("folds won", "n"), Column("tried", "n")]
    columns += [Column(f"test {title} (%)", "n test") for title in rec.SCORE_TITLES.values()]
    rows = []
    for name in _names(folds):
        scored = [one for one in _of(folds, name) if one["scores"]]
        means = [
            rec.percent(*rec.mean_std([one["scores"][s] for one in scored])) if scored else "–" for s in rec.SCORES
        ]
        won, tried = sum(fold["family"] == name for fold in folds), sum(one["tried"] for one in _of(folds, name))
        rows.append([name, str(len(scored)), str(won), str(tried), *means])
    return Table(columns, rows)


def _pairs(pairs: Sequence[Record]) -> Table:
    rows = [words(pair) for pair in pairs]
    columns = [Column("families", "id"), *(Column(name, "n") for name in list(rows[0])[1:])]
    return Table(columns, [list(row.values()) for row in rows], title="Every pair")


def _each(folds: Sequence[Record]) -> Table:
    columns = [Column("fold", "n"), Column("family", "id"), Column("configuration", "n"), Column("inner UAR (%)", "n")]
    columns += [Column(f"test {title} (%)", "n test") for title in rec.SCORE_TITLES.values()]
    rows = [
        [
            str(fold["fold"]),
            one["family"],
            str(one["trial"]),
            rec.percent(one["inner_score"]),
            *(rec.percent(one["scores"][score]) for score in rec.SCORES),
        ]
        for fold in folds
        for one in fold["families"]
        if one["scores"]
    ]
    return Table(columns, rows, title="Every fold", folded=True)
