"""Views of an experiment that stand ready in MLflow's menu "Views": few columns in order, filter, sorting, charts.

MLflow keeps a view that a user saves as a tag of the experiment, `mlflow.sharedViewState.<id>`; these are written the
same way, so that anybody may change or delete them there.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PREFIX = "mlflow.sharedViewState."
PRIMARY = "mlflow.experiment.primaryMetric.name"


@dataclass(frozen=True)
class SavedView:
    """`columns` and `order_by` in MLflow's words: tags.`family`, metrics.`validation_uar`, attributes.`Source`."""

    id: str
    name: str
    filter: str
    columns: Sequence[str]
    order_by: str = "attributes.start_time"
    ascending: bool = False
    charts: tuple[dict[str, Any], ...] = ()

    @property
    def state(self) -> dict[str, Any]:
        """What MLflow's page of runs is in."""
        found = {
            "searchFilter": self.filter,
            "orderByKey": self.order_by,
            "orderByAsc": self.ascending,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "datasetsFilter": [],
            "modelVersionFilter": "All Runs",
            "selectedColumns": list(self.columns),
            "columnOrder": list(self.columns),
            "runsHiddenMode": "SHOW_ALL",
            "hideEmptyCharts": True,
        }
        if self.charts:
            found["compareRunSections"] = [
                {"uuid": _SECTION, "name": "Search", "display": True, "isReordered": False, "deleted": False}
            ]
            found["compareRunCharts"] = list(self.charts)
        return found

    @property
    def mode(self) -> str:
        return "&compareRunsMode=CHART" if self.charts else ""


_SECTION = "fersweep-search"
_CREATED = 1_767_225_600_000  # the same in every experiment: writing the views again changes nothing


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _tag(name: str) -> str:
    return f"tags.`{name}`"


def _param(name: str) -> str:
    return f"params.`{name}`"


def _chart(name: str, kind: str, **values: Any) -> dict[str, Any]:
    shared = {"metricSectionId": _SECTION, "deleted": False, "isGenerated": False, "runsCountToCompare": 1000}
    return {"uuid": f"{_SECTION}-{name}", "type": kind, **shared, **values}


def _line(metric: str, title: str) -> dict[str, Any]:
    settings = {"xAxisKey": "step", "lineSmoothness": 0, "scaleType": "linear", "selectedYAxisMetricKey": "Metric"}
    return _chart(metric, "LINE", metricKey=metric, selectedMetricKeys=[metric], displayName=title, **settings)


_CONFIGURATIONS = "tags.level = 'configuration'"
VIEWS = (
    SavedView(
        "fersweep-sweeps",
        "0 Sweeps and their folds",
        "tags.level != 'configuration'",
        [
            *map(_metric, ("test_uar_mean", "test_uar_std", "test_uar", "test_war", "best_validation_uar")),
            *map(_tag, ("status", "dataset", "protocol", "encoder", "store", "code")),
        ],
    ),
    SavedView(
        "fersweep-configurations",
        "1 Configurations, best first",
        f"{_CONFIGURATIONS} and tags.status = 'complete'",
        [
            *map(_tag, ("family", "fold")),
            *map(_metric, ("score", "best_epoch", "num_parameters")),
            *map(_param, ("lr", "weight_decay", "batch_size")),
        ],
        order_by=_metric("score"),
    ),
    SavedView(
        "fersweep-folds",
        "2 Folds: what their winners score",
        "tags.level = 'fold'",
        [
            *map(_tag, ("status", "winner.family")),
            *map(_metric, ("test_uar", "test_war", "test_macro_f1", "best_validation_uar", "num_complete")),
            *map(_metric, ("num_pruned", "num_failed")),
        ],
        order_by="tags.`mlflow.runName`",
        ascending=True,
    ),
    SavedView(
        "fersweep-stopped",
        "3 Pruned and failed configurations, with reasons",
        f"{_CONFIGURATIONS} and tags.status != 'complete'",
        [*map(_tag, ("status", "reason", "family", "fold")), _metric("validation_uar"), _param("lr")],
        order_by=_tag("status"),  # any order but by time: MLflow then lists runs without their parents
        ascending=True,
    ),
    SavedView(
        "fersweep-charts",
        "4 Charts of the search",
        _CONFIGURATIONS,
        [*map(_tag, ("family", "fold", "status")), _metric("validation_uar")],
        order_by=_metric("validation_uar"),
        charts=(
            _chart(
                "parallel",
                "PARALLEL",
                selectedParams=["family", "lr", "weight_decay", "batch_size"],
                selectedMetrics=["validation_uar"],
                showAllRuns=True,
                displayName="Configurations",
            ),
            _line("validation_uar", "Inner-validation UAR over the epochs"),
            _line("train_loss", "Training loss over the epochs"),
            _chart(
                "size",
                "SCATTER",
                xaxis={"key": "num_parameters", "type": "METRIC"},
                yaxis={"key": "validation_uar", "type": "METRIC"},
                displayName="Size and inner-validation UAR",
            ),
        ),
    ),
)


def view_tags() -> dict[str, str]:
    """The experiment's tags of all views, and of the score that it is about."""
    tags = {PRIMARY: "validation_uar"}
    for place, view in enumerate(VIEWS):
        moment = _CREATED - place  # the menu shows the newest first
        named = {"name": view.name, "createdAt": moment, "updatedAt": moment, "state": json.dumps(view.state)}
        tags[PREFIX + view.id] = json.dumps(named)
    return tags


def view_link(experiment_id: str, view: SavedView) -> str:
    """The address of a view inside MLflow's pages."""
    return f"#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={view.id}{view.mode}"
