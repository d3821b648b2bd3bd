"""What `fersweep dashboard` serves, in a real browser: the way from the experiment to a model, and a search.

Runs are known by their ids and tags, so that their names may change. Pictures are kept in build/screenshots.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from playwright.sync_api import Browser, expect

from tests.browser import Tab, open_tab
from tests.finished_run import CONFIGURATIONS, FinishedRun, mlflow_runs
from tests.served import Served

SCORE = "validation_uar"
PATIENCE_MS = 60_000  # MLflow's pages are large, machines busy


@pytest.fixture(scope="module")
def runs(finished_run: FinishedRun) -> dict[str, Run]:
    """The runs of the nested sweep by their ids."""
    found = mlflow_runs(finished_run.workspace).items()
    return {run.info.run_id: run for key, run in found if key.split("/")[0] == finished_run.sweep_key}


@pytest.fixture(scope="module")
def fold(runs: dict[str, Run]) -> Run:
    return next(run for run in runs.values() if run.data.tags.get("level") == "fold")


@pytest.fixture(scope="module")
def window(browser: Browser, served: Served) -> Iterator[Tab]:
    """One for all tests: the pages' programs are read once."""
    with open_tab(browser, "mlflow", size="desk") as opened:
        opened.page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        news = opened.page.get_by_role("dialog")  # that MLflow shows who is here for the first time
        opened.page.add_locator_handler(news, lambda: opened.page.keyboard.press("Escape"))
        yield opened
        assert opened.hosts == {"127.0.0.1"}, "MLflow's pages ask other machines"


@pytest.fixture
def tab(window: Tab, served: Served) -> Tab:
    """The table of runs, as the dashboard's own address opens it."""
    window.page.goto(served.runs)
    window.page.locator("[role=row] a[href*='/runs/']").first.wait_for()
    return window


def shown_runs(tab: Tab) -> list[str]:
    """The ids of the runs in the table, from above to below."""
    links = tab.page.locator("[role=row] a[href*='/runs/']").all()
    places = [(link.bounding_box(), str(link.get_attribute("href"))) for link in links]
    ordered = sorted((box["y"], href) for box, href in places if box is not None)
    return [re.findall(r"/runs/(\w+)", href)[0] for _, href in ordered]


def sort_by_score(tab: Tab) -> None:
    tab.page.get_by_role("button", name=re.compile("^Sort")).click()
    tab.page.get_by_placeholder("Search", exact=True).fill(SCORE)
    tab.page.get_by_text(SCORE, exact=True).click()
    expect(tab.page.get_by_role("button", name=f"Sort: {SCORE}")).to_be_visible()
    expect(tab.page.locator("[role=row] a[href*='/runs/']").nth(CONFIGURATIONS)).to_be_visible()


def open_run(tab: Tab, run: Run) -> None:
    """By its link in the sorted table, which lists the runs below the sweep too."""
    tab.page.goto(f"{tab.page.url.split('&')[0]}&orderByKey=metrics.%60{SCORE}%60&orderByAsc=false")
    tab.page.locator(f"[role=row] a[href*='/runs/{run.info.run_id}']").first.click()
    expect(tab.page.get_by_role("heading", name=run.info.run_name)).to_be_visible()


def test_sorted_by_the_score_the_best_runs_stand_above(tab: Tab, runs: dict[str, Run]) -> None:
    sort_by_score(tab)
    tab.keep("runs-by-score")
    scores = [runs[run].data.metrics.get(SCORE, -1.0) for run in shown_runs(tab) if run in runs]
    assert len(scores) > CONFIGURATIONS and scores == sorted(scores, reverse=True)
    assert scores[0] == max(run.data.metrics.get(SCORE, -1.0) for run in runs.values())


def test_a_fold_leads_to_its_configurations_and_says_what_it_is(tab: Tab, runs: dict[str, Run], fold: Run) -> None:
    open_run(tab, fold)
    children = {run for run, found in runs.items() if found.data.tags.get("mlflow.parentRunId") == fold.info.run_id}
    assert len(children) == CONFIGURATIONS
    for run in [fold.data.tags["mlflow.parentRunId"], *children]:
        expect(tab.page.locator(f"a[href*='/runs/{run}']").first).to_be_visible()
    note = fold.data.tags.get("mlflow.note.content", "No description")
    words = re.findall(r"\w[\w ]{4,}", note)[0].strip()
    described = tab.page.get_by_text(words).first
    described.scroll_into_view_if_needed()
    expect(described).to_be_visible()
    tab.keep("fold")


def test_a_fold_shows_its_confusion_matrix(tab: Tab, finished_run: FinishedRun, fold: Run) -> None:
    picture = next(path for path in artifacts(finished_run, fold) if re.search(r"confusion.*\.png$", path))
    open_run(tab, fold)
    tab.page.get_by_role("tab", name="Artifacts").click()
    for part in PurePosixPath(picture).parts:
        tab.page.get_by_text(part, exact=True).first.click()
    tab.page.wait_for_function("[...document.images].some(image => image.naturalWidth > 400)")
    tab.keep("fold-figure")


def test_the_registered_model_is_there_with_its_version(tab: Tab, finished_run: FinishedRun, fold: Run) -> None:
    client = client_of(finished_run)
    models = [model.name for model in client.search_registered_models() if model.name.startswith("fersweep-")]
    if not models:  # `evaluate` registers none: the page is tested with one from MLflow's client
        models = [client.create_registered_model("fersweep-csv").name]
        client.create_model_version(models[0], f"{fold.info.artifact_uri}/model", fold.info.run_id)
    (version, *_) = client.search_model_versions(f"name = '{models[0]}'")
    tab.page.get_by_role("link", name="Model registry").click()
    tab.page.get_by_role("link", name=models[0], exact=True).click()
    expect(tab.page.get_by_role("heading", name=models[0])).to_be_visible()
    tab.page.get_by_role("link", name=f"Version {version.version}", exact=True).first.click()
    expect(tab.page.get_by_text(f"Version {version.version}").first).to_be_visible()
    tab.keep("model")


def test_optunas_dashboard_draws_a_search(browser: Browser, served: Served) -> None:
    with open_tab(browser, "optuna", size="desk") as tab:
        tab.page.set_default_timeout(PATIENCE_MS)
        tab.page.goto(served.optuna)
        tab.page.get_by_text("small fold 0").first.click()
        tab.page.locator(".js-plotly-plot .scatterlayer .trace").first.wait_for()
        expect(tab.page.get_by_text("inner validation UAR").first).to_be_visible()
        expect(tab.page.get_by_text("linear.dropout").first).to_be_visible()  # among the importances
        tab.keep("search")
        assert tab.problems == [] and tab.hosts == {"127.0.0.1"}


def client_of(finished: FinishedRun) -> MlflowClient:
    return MlflowClient(f"sqlite:///{finished.workspace}/mlflow.db")


def artifacts(finished: FinishedRun, run: Run, folder: str | None = None) -> Iterator[str]:
    for item in client_of(finished).list_artifacts(run.info.run_id, folder):
        if item.is_dir:
            yield from artifacts(finished, run, item.path)
        else:
            yield item.path
