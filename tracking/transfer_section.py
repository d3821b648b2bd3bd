"""What winners score on another dataset: a section of the report, numbers for MLflow, lines for the console.

A transfer: target and dataset (names), setting, classes and target_classes {class of the probe or of the target:
class that it counts as, or None}, label_names (the shared classes), shared_actors [names], and folds, each with
fold, num_test, num_left_out and, under "open" and "masked", scores, confusion (int64[K + 1, K + 1], its last
place a class that the target lacks) and recall.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tracking import records as rec
from tracking.report_parts import Column, Section, Table
from tracking.run_store import metric_name

Transfer = Mapping[str, Any]
VARIANTS = {
    "open": "any answer; one that the target lacks is an error",
    "masked": "answers among the shared classes only",
}


def transfer_metrics(found: Transfer) -> dict[str, float]:
    """MLflow metrics: the mean over the folds of each score, by target and variant."""
    return {
        f"transfer_{metric_name(found['target'])}_{variant}_{score}_mean": rec.mean_std(_values(found, variant, score))[
            0
        ]
        for variant in VARIANTS
        for score in rec.SCORES
    }


def transfer_summary(found: Transfer) -> list[str]:
    """Lines on what was scored, what was left out, and both variants' scores."""
    first = found["folds"][0]
    lines = [
        f"transfer to {found['target']}: {first['num_test']} videos scored by each of {len(found['folds'])} winners"
    ]
    lines += [f"  {text}" for text in _remarks(found)]
    for variant, meaning in VARIANTS.items():
        scores = ", ".join(f"{title} {_percent(found, variant, score)}" for score, title in rec.SCORE_TITLES.items())
        lines.append(f"  {variant} ({meaning}): {scores} (%, mean ± deviation over winners)")
    return lines


def transfer_section(found: Transfer) -> Section:
    """A target's section: both variants named, what was left out, per fold and per class."""
    uar = {variant: _percent(found, variant, "uar") for variant in VARIANTS}
    texts = [
        f"Every fold's winner scored all {found['folds'][0]['num_test']} videos of {found['dataset']} whose class it "
        f"knows. UAR {uar['open']} % with any answer, where one that the target lacks is an error; {uar['masked']} % "
        f"with answers among the {len(found['label_names'])} shared classes only. Guessing among those gets "
        f"{rec.percent(1 / len(found['label_names']))} %.",
        *(f"{text[0].upper()}{text[1:]}." for text in _remarks(found)),
    ]
    return Section(f"On another dataset: {found['target']}", texts, None, [_folds(found), _classes(found)])


def _remarks(found: Transfer) -> list[str]:
    remarks = []
    for whose, classes in (("the probe's", found["classes"]), ("the target's", found["target_classes"])):
        counted = [f"{name} as {other}" for name, other in classes.items() if other not in (None, name)]
        if counted:
            remarks.append(f"of {whose} classes count {', '.join(counted)}")
    ignored = [name for name, other in found["classes"].items() if other is None]
    if ignored:
        remarks.append(f"the target lacks the probe's {', '.join(ignored)}")
    left_out = [name for name, other in found["target_classes"].items() if other is None]
    if left_out:
        number = found["folds"][0]["num_left_out"]
        remarks.append(f"left out: {number} videos of classes that the probe lacks ({', '.join(left_out)})")
    if found["shared_actors"]:
        names = found["shared_actors"]
        listed = ", ".join(names[:10]) + (" ..." if len(names) > 10 else "")
        remarks.append(
            f"warning: {len(names)} actors have the same names in both sets ({listed}); if they are the same "
            "people, winners were trained on them and these scores are too high"
        )
    return remarks


def _folds(found: Transfer) -> Table:
    columns = [Column("winner of fold", "n")]
    columns += [
        Column(f"{variant} {title} (%)", "n test") for variant in VARIANTS for title in rec.SCORE_TITLES.values()
    ]
    rows = [
        [
            str(fold["fold"]),
            *(rec.percent(fold[variant]["scores"][score]) for variant in VARIANTS for score in rec.SCORES),
        ]
        for fold in found["folds"]
    ]
    foot = ["mean", *(_percent(found, variant, score) for variant in VARIANTS for score in rec.SCORES)]
    return Table(columns, rows, foot, title="Every winner", folded=True)


def _classes(found: Transfer) -> Table:
    columns = [Column("class"), *(Column(f"{variant} recall (%)", "n test") for variant in VARIANTS)]
    rows = [[name, *(_recall(found, variant, name) for variant in VARIANTS)] for name in found["label_names"]]
    return Table(columns, rows, title="Recall of every class, mean over winners", folded=True)


def _recall(found: Transfer, variant: str, name: str) -> str:
    values = [fold[variant]["recall"][name] for fold in found["folds"]]
    known = [value for value in values if value is not None]
    return rec.percent(*rec.mean_std(known)) if known else rec.percent(None)


def _values(found: Transfer, variant: str, score: str) -> Sequence[float]:
    return [fold[variant]["scores"][score] for fold in found["folds"]]


def _percent(found: Transfer, variant: str, score: str) -> str:
    return rec.percent(*rec.mean_std(_values(found, variant, score)))
