"""How one configuration looks in MLflow: the name, tags, metrics and end of its run."""

import zlib
from collections import Counter
from collections.abc import Sequence

from mlflow.entities import Metric

from tracking import records as rec
from tracking.drawing import SERIES
from tracking.records import Record
from tracking.run_store import EndStatus

# Few curves on purpose: MLflow's pages slow down with many metrics.
CURVES = ("train_loss", "validation_loss", "validation_uar", "validation_war")
COLOUR = "mlflow.runColor"  # of the run in MLflow's charts
_STATUS: dict[str, EndStatus] = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
_FAMILIES = ("linear", "mlp", "attentive", "multiscale", "segment")  # others have a colour by their name


def probe_name(record: Record) -> str:
    """attentive · f0 · 0.412, and behind it how it ended where it was not trained to its end"""
    parts = [] if record["score"] is None else [f"{record['score']:.3f}"]
    parts += [] if record["state"] == "complete" else [record["state"]]
    return f"{record['family']} · f{record['fold']} · {' '.join(parts) or 'no score'}"


def probe_status(record: Record) -> EndStatus:
    """MLflow's word for how it ended: a pruned configuration was stopped before its last epoch."""
    return _STATUS[record["state"]]


def probe_tags(record: Record) -> dict[str, str]:
    """What configurations are filtered by; every family has a colour of its own."""
    tags = {name: str(record[name]) for name in ("family", "fold", "trial", "pack")}
    tags |= {"status": record["state"], COLOUR: family_colour(record["family"])}
    return {**tags, "reason": str(record["reason"])} if record["reason"] else tags


def family_colour(family: str) -> str:
    """The same for a family in every sweep."""
    number = _FAMILIES.index(family) if family in _FAMILIES else zlib.crc32(family.encode())
    return SERIES[number % len(SERIES)]


def probe_metrics(record: Record, start: int, length: int) -> list[Metric]:
    """The curves with their epochs spread evenly over the run's time, the score, the size.

    `score` is what the search selects on, at the step of its epoch: with patience the best one, not the last.
    Only complete configurations have it, as only these are compared.

    Times count from the run's own start: logged again after a crash, a record gives the same points, and
    MLflow keeps equal points once.
    """
    points = []
    last = max(record["epoch"], 1)
    for epoch in record["curves"]:
        moment = start + length * epoch["epoch"] // last
        points += [Metric(n, epoch[n], moment, epoch["epoch"]) for n in CURVES if epoch.get(n) is not None]
    scored = any(p.key == "validation_uar" and p.step == record["epoch"] for p in points)
    if record["score"] is not None and not scored:
        points.append(Metric("validation_uar", record["score"], start + length, record["epoch"]))
    if record["score"] is not None and record["state"] == "complete":
        epoch = record.get("best_epoch") or record["epoch"]
        points.append(Metric("score", record["score"], start + length, epoch))
        points.append(Metric("best_epoch", epoch, start + length, epoch))
    points.append(Metric("num_parameters", record["num_parameters"], start + length, 0))
    return points


def search_metrics(records: Sequence[Record], start: int) -> list[Metric]:
    """A fold's search: `best_validation_uar` at every configuration that improved it, counts by how they ended.

    The steps are the configurations' numbers, the times count from the fold's `start` as in `probe_metrics`.
    """
    points: list[Metric] = []
    best = float("-inf")
    for record in sorted(rec.scored(records, "complete"), key=lambda record: int(record["trial"])):
        if record["score"] > best:
            best, step = record["score"], int(record["trial"])
            points.append(Metric("best_validation_uar", best, start + step, step))
    counts = Counter(record["state"] for record in records)
    points += [Metric(f"num_{state}", float(counts[state]), start + len(records), len(records)) for state in _STATUS]
    return points
