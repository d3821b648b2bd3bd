"""Where scores lie, and which settings decide them."""

from __future__ import annotations

import numpy as np

from jobs.results import evaluation_settings, fold_records, results_folder, results_of, sweep_key_settings
from tests.finished_run import FOLDS, FinishedRun, listen


def test_the_line_of_results_is_the_mean_over_the_folds(finished_run: FinishedRun) -> None:
    uar, war, f1, chance, page = results_of(finished_run.context)
    records = fold_records(finished_run.context, finished_run.manifest, finished_run.store)
    scores = [100 * record["scores"]["uar"] for record in records]
    assert len(scores) == FOLDS
    assert uar == f"{np.mean(scores):.1f} ± {np.std(scores, ddof=1):.1f}"
    assert chance == "50.0"
    assert page == f"{finished_run.evaluation.uri}/report/report.html"
    assert war and f1


def test_with_the_papers_recipe_the_search_has_no_part_in_the_scores(finished_run: FinishedRun) -> None:
    manifest, store = finished_run.manifest, finished_run.store

    def place(*overrides: str) -> str:
        return results_folder(listen(finished_run.experiment, *overrides), manifest, store).uri

    assert place("search.pack=1") != place()
    paper = "evaluate.selection=paper"
    assert place(paper) == place(paper, "search.pack=1") == place(paper, "sweep.packs_at_once=2") != place()
    assert place(paper, "training.epochs=9") != place(paper)


def test_a_nested_result_belongs_to_its_sweep_in_mlflow(finished_run: FinishedRun) -> None:
    manifest, store = finished_run.manifest, finished_run.store
    context = finished_run.context
    assert sweep_key_settings(context, manifest, store) == context.search_settings(manifest, store)
    paper = listen(finished_run.experiment, "evaluate.selection=paper")
    assert sweep_key_settings(paper, manifest, store) == evaluation_settings(paper, manifest, store)
    assert "search" not in evaluation_settings(paper, manifest, store)
