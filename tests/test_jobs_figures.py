"""Figures are drawn once, and again when what they show has changed."""

from jobs.figures import sweep_figures
from jobs.sweep import fold_searches, found_records
from tests.finished_run import FOLDS, FinishedRun, state_of


def test_what_is_drawn_is_not_drawn_again(finished_run: FinishedRun) -> None:
    context, manifest, store = finished_run.context, finished_run.manifest, finished_run.store
    searches = fold_searches(context, manifest, store)
    probes = found_records(searches)
    before = state_of(finished_run.workspace / "figures")
    found = sweep_figures(context, manifest, store, searches, probes)
    assert found.keys() == {None, *range(FOLDS)}
    assert found[0].keys() == {"search.png", "learning_curves.png"}
    after = state_of(finished_run.workspace / "figures")
    pages = [file for file in before if file.suffix in (".html", ".png")]
    assert pages
    assert all(before[file] == after[file] for file in pages)
