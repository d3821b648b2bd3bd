"""Records of an invented sweep, as the tests of the room tracking/ read them: seeded, the same everywhere."""

from typing import Any

import numpy as np
import pytest

from tracking.runs import local_uris

LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
ACTORS = (
    ("2", "5", "14", "15", "16"),
    ("3", "6", "7", "13", "18"),
    ("10", "11", "12", "19", "20"),
    ("8", "17", "21", "23", "24"),
    ("1", "4", "9", "22"),
)
ODD_NAME = "übung with %20 and ?"  # of the workspace: whatever a folder may be called must work
FAMILIES = {"attentive": 0.44, "linear": 0.30, "multi_query": 0.42, "mean_mlp": 0.36}


def _params(rng: np.random.Generator, family: str) -> dict[str, Any]:
    params: dict[str, Any] = {
        "family": family,
        "lr": float(10 ** rng.uniform(-4.5, -2)),
        "weight_decay": float(10 ** rng.uniform(-6, -1)),
        "label_smoothing": float(rng.uniform(0, 0.2)),
        "batch_size": int(rng.choice([4, 8, 16])),
        "standardise": bool(rng.random() < 0.5),
    }
    if family == "multi_query":
        params["num_queries"] = int(rng.integers(2, 9))
    return params


def _curve(rng: np.random.Generator, epochs: int, target: float) -> list[dict[str, float]]:
    curve = []
    for epoch in range(1, epochs + 1):
        rise = 1 - np.exp(-epoch / 5)
        uar = 0.125 + (target - 0.125) * rise + rng.normal(0, 0.008)
        curve.append(
            {
                "epoch": epoch,
                "lr": 1e-3 * (1 + np.cos(np.pi * epoch / 20)) / 2,
                "train_loss": float(2.08 - 1.4 * rise * target / 0.45 + rng.normal(0, 0.02)),
                "validation_loss": float(2.08 - 0.8 * rise * target / 0.45 + rng.normal(0, 0.03)),
                "validation_uar": float(uar),
                "validation_war": float(uar + rng.normal(0.01, 0.01)),
            }
        )
    return curve


def probe_record(fold: int, trial: int, seed: int = 0) -> dict[str, Any]:
    """One configuration: a complete one, in three of five cases pruned after 3 or 9 epochs, seldom failed."""
    rng = np.random.default_rng((seed, fold, trial))
    family = list(FAMILIES)[int(rng.integers(len(FAMILIES)))]
    params = _params(rng, family)
    target = FAMILIES[family] + 0.02 * fold - 0.03 * (np.log10(params["lr"]) + 3.2) ** 2 + rng.normal(0, 0.02)
    state = "failed" if trial % 19 == 18 else ("complete" if target > 0.37 or trial < 4 else "pruned")
    epochs = {"failed": 2, "complete": 20, "pruned": 3 if target < 0.33 else 9}[state]
    curves = _curve(rng, epochs, float(target))
    return {
        "trial": trial,
        "fold": fold,
        "pack": trial // 4,
        "family": family,
        "params": params,
        "state": state,
        "score": None if state == "failed" else curves[-1]["validation_uar"],
        "epoch": epochs,
        "reason": {"failed": "train_loss is nan at epoch 3", "pruned": "below the median at epoch 3"}.get(state),
        "num_parameters": 1_000_000 + trial,
        "seconds": 0.9 * epochs,
        "curves": curves,
    }


def fold_record(fold: int, winner: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    """The refitted winner of a fold, scored on 60 videos an actor (4 of them neutral, 8 of every other class)."""
    rng = np.random.default_rng((seed, fold, 999))
    confusion = np.zeros((8, 8), int)
    for label in range(8):
        chances = rng.dirichlet(np.full(8, 0.7)) * 0.55
        chances[label] += 0.45
        confusion[label] = rng.multinomial((4 if label == 0 else 8) * len(ACTORS[fold]), chances / chances.sum())
    recall = confusion.diagonal() / confusion.sum(axis=1)
    precision = confusion.diagonal() / np.maximum(confusion.sum(axis=0), 1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    return {
        "fold": fold,
        "selection": "nested",
        "trial": winner["trial"],
        "family": winner["family"],
        "params": winner["params"],
        "inner_score": winner["score"],
        "scores": {
            "uar": float(recall.mean()),
            "war": float(confusion.trace() / confusion.sum()),
            "macro_f1": float(f1.mean()),
        },
        "recall": dict(zip(LABELS, map(float, recall), strict=True)),
        "confusion": confusion.tolist(),
        "curves": [{"epoch": e["epoch"], "train_loss": e["train_loss"]} for e in winner["curves"]],
        "num_test": int(confusion.sum()),
        "test_actors": list(ACTORS[fold]),
        "seconds": 31.0,
    }


def with_extras(record: dict[str, Any], *, repeats: int = 3, temperature: float = 1.8) -> dict[str, Any]:
    """A fold record with repeated trainings, an ensemble of three, and probabilities that are too sure."""
    rng = np.random.default_rng((record["fold"], 5))
    names = list(record["scores"])
    scores = [{name: record["scores"][name] + float(rng.normal(0, 0.01)) for name in names} for _ in range(repeats)]
    mean = {name: float(np.mean([values[name] for values in scores])) for name in scores[0]}
    calibration: dict[str, Any] = {"temperature": temperature, "num_inner": 48, "ece": {}, "nll": {}, "bins": {}}
    for when, gap in (("before", 0.2), ("after", 0.02)):
        counts = rng.multinomial(record["num_test"], np.linspace(0, 1, 15) / np.linspace(0, 1, 15).sum())
        centres = (np.arange(15) + 0.5) / 15
        calibration["bins"][when] = [
            {
                "low": i / 15,
                "high": (i + 1) / 15,
                "count": int(n),
                "confidence": float(centres[i]) if n else None,
                "accuracy": float(max(centres[i] - gap, 0)) if n else None,
            }
            for i, n in enumerate(counts)
        ]
        calibration["ece"][when], calibration["nll"][when] = gap, 1.2 + gap
    return {
        **record,
        "repeats": [{"seed": 7 + i, "scores": values} for i, values in enumerate(scores)],
        "scores": mean,
        "ensemble": {
            "asked": 3,
            "trials": [record["trial"], 1, 2],
            "scores": {name: value + 0.02 for name, value in mean.items()},
            "recall": record["recall"],
            "confusion": record["confusion"],
            "notes": [],
        },
        "calibration": calibration,
    }


def sweep(folds: int = 5, trials: int = 40) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(fold records, probe records) of a whole sweep."""
    probes = [probe_record(fold, trial) for fold in range(folds) for trial in range(trials)]
    refits = []
    for fold in range(folds):
        complete = [p for p in probes if p["fold"] == fold and p["state"] == "complete"]
        refits.append(fold_record(fold, max(complete, key=lambda p: p["score"])))
    return refits, probes


def shared_workspace(factory: pytest.TempPathFactory) -> tuple[str, str]:
    """(tracking URI, artifact location) of one workspace for the whole run: MLflow's tables take seconds to make.

    Every test uses an experiment name of its own.
    """
    return local_uris(factory.getbasetemp() / ODD_NAME)
