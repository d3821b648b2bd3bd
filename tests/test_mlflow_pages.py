"""MLflow's own pages of a sweep of 1,000 configurations, opened in a browser."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.tracking_records import sweep
from tracking.descriptions import Told, describe
from tracking.runs import Tracker, local_uris
from tracking.saved_views import VIEWS, view_link
from tracking.server import free_port, serve
from tracking.writer import Writer

CHROMIUM = "/usr/bin/chromium"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic", "--no-first-run"]
QUIET += ["--disable-component-update", "--disable-sync"]
SECONDS = 5.0


def write_sweep(folder: Path) -> str:
    """1,000 configurations of five folds by the road that a sweep takes; the experiment's id."""
    uri, artifacts = local_uris(folder)
    folds, probes = sweep(5, 200)
    tracker = Tracker(uri, "large", artifacts)
    tracker.sweep_run("k", "large · nested · k", {}, {"dataset": "ravdess"}, {})
    for fold in range(5):
        tracker.fold_run("k", fold, {}, {})
    writer = Writer(lambda: tracker, print).open(tracker)
    for probe in probes:
        writer.put(partial(Tracker.log_probe, sweep_key="k", record=probe), together=True)
    writer.put(lambda it: describe(it, "k", Told("ravdess", "nested", 8, probes, folds)))
    writer.put(lambda it: it.finish("k"))
    assert writer.close() == 0
    return tracker.experiment_id


@pytest.mark.soak
@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"{CHROMIUM} is not there")
def test_the_pages_of_a_thousand_configurations_open_in_seconds(tmp_path: Path) -> None:
    experiment = write_sweep(tmp_path)
    plain = f"#/experiments/{experiment}/runs?workflowType=machine_learning"
    views = {view.id: view_link(experiment, view) for view in VIEWS if not view.charts}
    with serve(*local_uris(tmp_path), free_port(5850)) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        for name, place in {"warm": plain, "plain": plain, **views}.items():
            page = browser.new_page()
            started = time.monotonic()
            page.goto(f"{server.url}/{place}")
            page.locator(".ag-center-cols-container .ag-row").first.wait_for(timeout=60_000)
            took = time.monotonic() - started
            assert name == "warm" or took < SECONDS, f"{name}: {took:.1f} s"
            page.close()
        browser.close()
