"""The report of an experiment: one HTML file that needs no network and no script, and as Markdown."""

import dataclasses
import re
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from tracking import records as rec
from tracking.figures import to_png, to_svg
from tracking.report_parts import ReportData as ReportData
from tracking.report_parts import Section
from tracking.report_sections import sections
from tracking.report_style import CSS, HTML, MARKDOWN

_PROTOCOLS = {
    "nested": (
        "nested selection",
        "The probe of each fold was chosen on inner validation actors from outside the fold, trained again "
        "on all actors outside the fold, and scored on the fold's actors once.",
    ),
    "paper": (
        "the paper's fixed recipe",
        "One fixed recipe was trained on all actors outside each fold and scored on the fold's actors at its "
        "last epoch; nothing was selected.",
    ),
}

_OTHER_ACTORS = "The interval says how far the score would move with other test actors of the same kind."


def render_html(data: ReportData) -> str:
    """The report as one HTML page: style and figures inside, light and dark, wide and narrow screens."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_keep_units,
    )
    view = _view(data)
    view["sections"] = [_with_svg(section) for section in view["sections"]]
    return environment.from_string(HTML).render(css=Markup(CSS), **view) + "\n"


def render_markdown(data: ReportData) -> str:
    """The report's texts and tables in GitHub's Markdown, without its figures."""
    environment = jinja2.Environment(  # Markdown: `finalize` escapes every value instead
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_escape_markdown
    )
    environment.filters["fenced"] = _fenced
    return environment.from_string(MARKDOWN).render(**_view(data)).strip() + "\n"


def figure_files(data: ReportData) -> dict[str, bytes]:
    """The report's figures as PNG files, named after the sections that they stand in."""
    drawn = [(section.title, section.figure) for section in sections(data)]
    return {f"figures/{_slug(title)}.png": to_png(figure()) for title, figure in drawn if figure is not None}


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


class _Raw(str):
    """Markdown that is escaped already."""


def _keep_units(value: object) -> object:
    """No line of the page begins with the sign or the unit of a number."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value  # figures, and what templates made
    return re.sub(r"(?<=\d) (?=[%±])|(?<=±) (?=\d)", "\u00a0", value)


def _escape_markdown(value: object) -> str:
    if isinstance(value, _Raw):
        return value
    line = " ".join(str(value).split())
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", line)


def _fenced(code: object) -> _Raw:
    """A code block whose fence is longer than every run of backticks in it."""
    longest = max(map(len, re.findall(r"`+", str(code))), default=0)
    fence = "`" * max(3, longest + 1)
    return _Raw(f"{fence}\n{str(code).rstrip()}\n{fence}")


def _with_svg(section: Section) -> dict[str, Any]:
    values = {f.name: getattr(section, f.name) for f in dataclasses.fields(section)}
    if section.figure is not None:
        values["figure"] = Markup(to_svg(section.figure()))  # matplotlib escapes its texts
    return values


def _view(data: ReportData) -> dict[str, Any]:
    return {
        "title": data.title,
        "protocol_name": _PROTOCOLS[data.protocol][0],
        "subject": _subject(data),
        "headline": _headline(data) if data.fold_records else [],
        "sentences": _sentences(data),
        "cautions": [*_cautions(data), *data.notes],
        "sections": list(sections(data)),
    }


def _subject(data: ReportData) -> str:
    parts = [data.dataset, *(f"{value} {name}" for name, value in data.counts.items())]
    return ", ".join(parts) + (f"; {data.encoder}" if data.encoder else "")


def _headline(data: ReportData) -> list[dict[str, str]]:
    compare = {
        "uar": f"mean of the class recalls; guessing gets {rec.percent(data.guessing)} %",
        "war": f"accuracy; always answering the most frequent class gets {rec.percent(_majority(data))} %",
        "macro_f1": "recall and precision of a class, mean over the classes",
    }
    found = []
    for score in rec.SCORES:
        mean, deviation = rec.mean_std([fold["scores"][score] for fold in data.fold_records])
        spread = "" if deviation is None else rec.percent(deviation)
        found.append(
            {
                "name": f"Test {rec.SCORE_TITLES[score]}",
                "value": rec.percent(mean),
                "mean": rec.percent(mean, deviation),
                "deviation": spread,
                "interval": _interval(data, score),
                "compare": compare[score],
            }
        )
    return found


def _interval(data: ReportData, score: str) -> str:
    """56.2 %, 95 % interval over actors 51.0 to 61.1"""
    bounds = data.intervals.get(score)
    return "" if bounds is None else f"{rec.percent(bounds[0])} %, 95 % interval over actors {rec.interval(bounds)}"


def _majority(data: ReportData) -> float:
    """The accuracy of always answering the class that is most frequent among the test videos."""
    totals = rec.total_confusion(data.fold_records, len(data.label_names)).sum(axis=1)
    return float(np.max(totals, initial=0) / max(int(totals.sum()), 1))


def _sentences(data: ReportData) -> list[str]:
    if not data.fold_records:
        return [
            "No fold has been evaluated, so there is no test result yet. What follows are inner-validation "
            "scores, which the search selects on: they tell probes apart, but promise nothing about other actors."
        ]
    num = len(data.fold_records)
    mean, deviation = rec.mean_std([fold["scores"]["uar"] for fold in data.fold_records])
    over = f"mean over {num} folds ± standard deviation" if num > 1 else "one fold, so no spread is known"
    repeats = max(len(fold.get("repeats") or ()) for fold in data.fold_records)
    over += f"; every fold the mean of {repeats} trainings" if repeats > 1 else ""
    return [
        f"On videos of actors it had never seen, the probe recognised {rec.percent(mean, deviation)} % of an "
        f"average class ({over}). Guessing among {len(data.label_names)} classes gets "
        f"{rec.percent(data.guessing)} %.",
        *([f"UAR of all test videos together: {_interval(data, 'uar')}. {_OTHER_ACTORS}"] if data.intervals else []),
        _PROTOCOLS[data.protocol][1],
    ]


def _cautions(data: ReportData) -> list[str]:
    notes = []
    planned, done = rec.fold_numbers(data.probe_records), {int(fold["fold"]) for fold in data.fold_records}
    missing = [str(fold) for fold in planned if fold not in done]
    if data.fold_records and missing:
        notes.append(
            f"Only {len(done)} of {len(done) + len(missing)} folds are evaluated; missing: fold {', '.join(missing)}."
        )
    if data.fold_records:
        mean, deviation = rec.mean_std([fold["scores"]["uar"] for fold in data.fold_records])
        if mean - (deviation or 0.0) <= data.guessing:
            notes.append("The mean UAR lies within one standard deviation of guessing: no recognition is shown.")
    return notes
