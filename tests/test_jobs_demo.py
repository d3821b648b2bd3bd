"""The demo's numbers mean what they say: expression over time is read, colour and brightness give nothing away."""

from __future__ import annotations

from pathlib import Path

import decord
import numpy as np
import pytest
import yaml
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from distributed.demo.videos import write_crema_d, write_ravdess
from distributed.folds import make_folds
from distributed.manifest import Manifest
from distributed.metrics import confusion_matrix, uar
from jobs.context import Context
from jobs.demo import demo_experiment
from jobs.experiment import load_experiment
from jobs.report import fold_records
from jobs.run import run_up_to


def mean_pixels(path: str) -> np.ndarray:
    """Mean colour of a coarse 4 x 4 grid over all frames, and how the whole picture's mean moves in time."""
    frames = decord.VideoReader(path, width=64, height=64)[:].asnumpy().astype(np.float64)
    grid = frames.reshape(len(frames), 4, 16, 4, 16, 3).mean(axis=(2, 4))
    whole = grid.mean(axis=(1, 2))
    return np.concatenate([grid.mean(axis=0).ravel(), whole.std(axis=0), whole[-1] - whole[0]])


def mean_pixel_uar(manifest: Manifest, context: Context) -> float:
    """UAR over unseen actors of a logistic regression on mean pixels, mean over the folds."""
    features = np.stack([mean_pixels(path) for path in manifest.table["path"].to_pylist()])
    labels = manifest.table["label"].to_numpy().astype(np.int64)
    scores = []
    for fold in make_folds(manifest.table, manifest.label_names, context.experiment.folds):
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.1))
        probe.fit(features[fold.development], labels[fold.development])
        predicted = probe.predict(features[fold.test])
        scores.append(uar(confusion_matrix(labels[fold.test], predicted, len(manifest.label_names))))
    return float(np.mean(scores))


@pytest.mark.soak
@pytest.mark.usefixtures("shared_ray")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("dataset", "seed"), [("ravdess", 1), ("crema-d", 2)])
def test_the_winner_reads_three_times_chance_where_mean_pixels_read_nothing(
    tmp_path: Path, dataset: str, seed: int
) -> None:
    """Nested UAR on actors that neither training nor selection has seen; a short search is enough.

    A third seed, the demo's own, is held by the test that submits the whole demo to a cluster.
    """
    write = {"ravdess": write_ravdess, "crema-d": write_crema_d}[dataset]
    write(tmp_path / "videos", seed=seed)
    settings = demo_experiment(dataset, tmp_path / "videos", tmp_path / "workspace", seed)
    path = tmp_path / "demo.yaml"
    path.write_text(yaml.safe_dump(settings))
    overrides = ["search.configurations=8", "training.epochs=12"]
    context = Context.of(load_experiment(path, overrides), Console(quiet=True))
    run_up_to(context, "evaluate")
    manifest = context.manifest()
    chance = 1 / len(manifest.label_names)
    nested = float(np.mean([r["scores"]["uar"] for r in fold_records(context, manifest, context.store(manifest))]))
    pixels = mean_pixel_uar(manifest, context)
    print(f"{dataset}, seed {seed}: nested UAR {nested:.3f}, mean pixels {pixels:.3f}, chance {chance:.3f}")
    assert nested >= 3 * chance
    assert pixels < 1.5 * chance
