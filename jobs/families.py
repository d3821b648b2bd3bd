"""`fersweep compare --families`: which probe family of one run is better, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from distributed.comparison import compare
from distributed.errors import UserError
from distributed.intervals import Score
from distributed.scored_videos import read_families, read_records
from distributed.search import Record
from distributed.storage import Storage
from jobs.compare import check_figure, evaluation_of, show_pairs
from jobs.show import Format
from tracking.families_section import families_sections, families_text, unscored
from tracking.report_parts import Section

SETTING = "evaluate.families=true"


def compare_families(
    runs: Sequence[str], console: Console, warnings: Console, *, score: Score, form: Format, figure: Path | None
) -> None:
    """Write every pair of families of the one run in a row; it is an experiment file or an evaluation's folder.

    An experiment is looked up with `evaluate.families` on, whatever its file says.

    Raises:
        UserError: there are several runs, its families are not scored, or it has but one.
    """
    check_figure(figure)
    if len(runs) != 1:
        raise UserError(f"--families compares the families of one run, and {len(runs)} are given; name one")
    name, results = evaluation_of(runs[0], console, SETTING)
    scored = read_families(results)
    records = list(read_records(results).values())
    lines = unscored(records)
    if len(scored) < 2:
        reasons = "".join(f"; {line}" for line in lines)
        raise UserError(
            f"{runs[0]}: there is nothing to compare, {' and '.join(scored) or 'no family'} alone is scored{reasons}. "
            "Search more families (search.families) or more configurations, or let all of them train to the end "
            f"(training.rungs=[]), then run `fersweep sweep` and `fersweep evaluate` with {SETTING}"
        )
    for line in lines:
        warnings.print(f"fersweep: WARNING: {line}", markup=False, soft_wrap=True)
    show_pairs(compare(scored, score=score), console, warnings, form=form, figure=figure)
    if form is Format.TABLE:
        console.print(f"{name}: {families_text(records)}", markup=False, highlight=False)


def compared_families(results: Storage, records: Sequence[Record]) -> list[Section]:
    """The report's section on families with every pair of them, or with the reason why they cannot be compared."""
    if not records or not all(record.get("families") for record in records):
        return []
    scored = read_families(results)
    if len(scored) < 2:
        return families_sections(records, why_none=f"{' and '.join(scored) or 'no family'} alone is scored")
    try:
        pairs = compare(scored)
    except UserError as error:  # families that were scored in different folds may share too few actors
        return families_sections(records, why_none=str(error))
    return families_sections(records, [asdict(pair) for pair in pairs])
