"""How configurations look in MLflow."""

import pytest

from tests.tracking_records import probe_record
from tracking.probe_runs import family_colour, probe_metrics, probe_name, probe_status, probe_tags, search_metrics


def test_the_best_score_of_a_search_is_a_curve_over_its_configurations() -> None:
    scores = [0.3, 0.5, 0.4, 0.6]
    records = [{**probe_record(0, n), "state": "complete", "score": score} for n, score in enumerate(scores)]
    records += [{**probe_record(0, 4), "state": "failed", "score": None}]
    records += [{**probe_record(0, 5), "state": "pruned", "score": 0.9}]  # of an early epoch: no best score
    points = search_metrics(list(reversed(records)), 1000)
    best = [(point.step, point.value) for point in points if point.key == "best_validation_uar"]
    assert best == [(0, 0.3), (1, 0.5), (3, 0.6)]
    counts = {point.key: point.value for point in points if point.key != "best_validation_uar"}
    assert counts == {"num_complete": 4, "num_pruned": 1, "num_failed": 1}
    assert search_metrics(records, 1000)[0].timestamp == points[0].timestamp  # the same points when sent again


def test_with_patience_the_score_is_that_of_the_best_epoch_and_says_which() -> None:
    record = {**probe_record(0, 0), "state": "complete"}
    curves = record["curves"] = [dict(epoch) for epoch in record["curves"]]
    best = curves[11]["validation_uar"] = 0.9
    record |= {"score": best, "best_epoch": 12}
    points = {point.key: (point.value, point.step) for point in probe_metrics(record, 1000, 50)}  # the last of each
    assert points["score"] == (0.9, 12) and points["best_epoch"] == (12, 12)
    assert points["validation_uar"] == (curves[-1]["validation_uar"], len(curves))
    del record["best_epoch"]  # as an earlier version left it
    assert [point.step for point in probe_metrics(record, 1000, 50) if point.key == "score"] == [len(curves)]
    pruned = probe_metrics({**record, "state": "pruned"}, 1000, 50)
    assert not {"score", "best_epoch"} & {point.key for point in pruned}, "a partial score is compared with none"


@pytest.mark.parametrize(("state", "status"), [("complete", "FINISHED"), ("pruned", "KILLED"), ("failed", "FAILED")])
def test_the_end_is_seen_in_status_tag_and_name(state: str, status: str) -> None:
    record = {**probe_record(1, 3), "state": state, "score": 0.4567, "reason": None}
    assert probe_status(record) == status
    assert probe_tags(record)["status"] == state
    assert probe_name(record) == f"{record['family']} · f1 · 0.457" + ("" if state == "complete" else f" {state}")


def test_the_default_families_have_different_colours() -> None:
    assert len({family_colour(family) for family in ("linear", "mlp", "attentive")}) == 3
    assert family_colour("a new one") == family_colour("a new one")
