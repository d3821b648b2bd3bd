"""The ready views: MLflow's own form, and columns that runs have."""

import json

from tests.tracking_records import probe_record
from tracking.probe_runs import probe_metrics, probe_tags
from tracking.saved_views import PREFIX, VIEWS, view_link, view_tags


def test_the_views_are_written_as_mlflow_writes_those_of_users() -> None:
    tags = view_tags()
    assert view_tags() == tags  # writing them again changes nothing
    for view in VIEWS:
        written = json.loads(tags[PREFIX + view.id])
        assert written.keys() == {"name", "createdAt", "updatedAt", "state"}
        state = json.loads(written["state"])
        assert state["searchFilter"] == view.filter
        assert 3 < len(state["selectedColumns"]) <= 11
        assert len(tags[PREFIX + view.id]) < 5000  # what MLflow keeps of a tag


def test_the_menu_shows_them_in_their_order() -> None:
    created = [json.loads(view_tags()[PREFIX + view.id])["createdAt"] for view in VIEWS]
    assert created == sorted(created, reverse=True)
    assert [view.name[0] for view in VIEWS] == [str(number) for number in range(len(VIEWS))]


def test_the_columns_of_configurations_are_there() -> None:
    record = {**probe_record(0, 0), "reason": "x"}
    names = {f"metrics.`{point.key}`" for point in probe_metrics(record, 0, 1000)}
    names |= {f"tags.`{name}`" for name in probe_tags(record)} | {f"params.`{name}`" for name in record["params"]}
    for view in VIEWS:
        if "level = 'configuration'" in view.filter:
            assert set(view.columns) <= names, view.id


def test_a_link_opens_the_view_and_its_charts() -> None:
    charts = next(view for view in VIEWS if view.charts)
    assert view_link("7", charts).startswith("#/experiments/7/runs?")
    assert view_link("7", charts).endswith(f"viewStateShareKey={charts.id}&compareRunsMode=CHART")
