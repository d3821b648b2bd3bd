"""Tests that a leak would fail: with shuffled labels the real evaluation reads chance, unless something leaks.

Each kind of leak is planted on purpose, to show that the same test then fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import torch

import distributed.folds
from distributed.errors import UserError
from distributed.evaluation import EvaluateConfig, FoldEvaluation, refit_and_score
from distributed.folds import Fold, FoldsConfig
from distributed.intervals import Interval, actor_interval
from distributed.labelled_tokens import LabelledTokens, label_tokens
from distributed.manifest import Manifest
from distributed.prediction import predict_probabilities
from distributed.selection import paper_recipe
from distributed.storage import Storage
from distributed.training import ProbeSpec, TrainingConfig, train_pack
from jobs.results import results_folder
from jobs.run import run_stage
from search_spaces.family import build_probe
from search_spaces.probe import Probe
from tests.finished_run import FinishedRun, listen
from tests.synthetic import NAMES, SHAPE, synthetic_manifest, synthetic_store

CHANCE = 1 / len(NAMES)
ONE = EvaluateConfig(calibrate=False)
SHUFFLES = 8
PARAMS = {**paper_recipe(2)["params"], "lr": 1e-2, "batch_size": 8}
Rows = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> tuple[LabelledTokens, list[Fold]]:
    """Twelve actors whose tokens show the class plainly."""
    manifest = synthetic_manifest()
    store = synthetic_store(tmp_path_factory.mktemp("leaks"), manifest)
    return label_tokens(manifest, store, FoldsConfig(count=3))


def shuffled(tokens: LabelledTokens, seed: int) -> LabelledTokens:
    """The same videos with labels that say nothing about them: every actor's are dealt anew among his own videos.

    Dealt among all, the classes that training has seen more often would be rarer in the test: worse than chance.
    """
    rng, labels, actors = np.random.default_rng(seed), tokens.labels.copy(), np.array(tokens.actors)
    for actor in sorted(set(tokens.actors)):
        labels[actors == actor] = rng.permutation(labels[actors == actor])
    return replace(tokens, labels=labels)


def evaluated(tokens: LabelledTokens, folds: Sequence[Fold], winner: Callable[[Fold], dict[str, Any]]) -> Interval:
    """The UAR of all folds' test videos with its interval, by the code that scores every run."""
    rows: list[dict[str, Any]] = []
    for fold in folds:
        job = FoldEvaluation(fold, winner(fold), tokens, TrainingConfig(epochs=20), ONE, 0, Storage("unused"))
        rows += refit_and_score(job).predictions.to_pylist()
    true, predicted = (np.array([NAMES.index(row[key]) for row in rows]) for key in ("true", "predicted"))
    assert len(rows) == len(tokens.video_ids)
    return actor_interval(true, predicted, [row["actor"] for row in rows], num_classes=len(NAMES))


def fixed(fold: Fold) -> dict[str, Any]:
    return {"trial": 0, "family": "attentive", "score": None, "params": PARAMS}


def hold_chance(found: Sequence[Interval]) -> int:
    """How many intervals hold chance; those of honest evaluations do in about 93 % of cases."""
    return sum(one.low <= CHANCE <= one.high for one in found)


def test_what_labels_say_is_found_and_shuffled_labels_are_chance(tokens: tuple[LabelledTokens, list[Fold]]) -> None:
    labelled, folds = tokens
    assert evaluated(labelled, folds, fixed).low > 0.8
    found = [evaluated(shuffled(labelled, seed), folds, fixed) for seed in range(SHUFFLES)]
    assert hold_chance(found) >= SHUFFLES - 3
    assert abs(np.mean([one.value for one in found]) - CHANCE) < 0.05


def test_the_test_actors_among_the_training_rows_fail_it(tokens: tuple[LabelledTokens, list[Fold]]) -> None:
    labelled, folds = tokens
    leaky = [replace(fold, train=np.concatenate([fold.train, fold.test])) for fold in folds]
    found = [evaluated(shuffled(labelled, seed), leaky, fixed) for seed in range(SHUFFLES // 2)]
    assert hold_chance(found) == 0
    assert all(one.low > CHANCE for one in found)


def test_a_winner_selected_on_the_test_fold_fails_it(tokens: tuple[LabelledTokens, list[Fold]]) -> None:
    """The best of many probes on the fold is no result of the fold; the best on inner validation actors is one."""
    leaky, honest = [], []
    for seed in range(SHUFFLES // 2):
        labelled, folds = shuffled(tokens[0], seed), tokens[1]
        leaky.append(pooled(labelled, folds, [best_on(labelled, fold, fold.test) for fold in folds]))
        honest.append(pooled(labelled, folds, [best_on(labelled, fold, fold.validation) for fold in folds]))
    assert hold_chance(leaky) == 0
    assert hold_chance(honest) >= SHUFFLES // 4


def best_on(labelled: LabelledTokens, fold: Fold, rows: Rows) -> Probe:
    """Of sixty probes trained a little on the fold's training rows the one that scores best on `rows`."""
    params = {key: value for key, value in PARAMS.items() if not key.startswith("attentive.")}
    params |= {"family": "linear", "lr": 1e-4, "linear.dropout": 0.0}
    specs = [ProbeSpec(number, "linear", params, number) for number in range(60)]
    config = TrainingConfig(epochs=1, rungs=())
    results = train_pack(
        labelled.reader(0), labelled.labels, fold.train, rows, specs, config, num_classes=len(NAMES), seed=fold.index
    )
    best = max(results, key=lambda result: result.score or 0.0)
    probe = build_probe("linear", params, dim=labelled.reader(0).shape[1], num_classes=len(NAMES), seed=0)
    probe.load_state_dict(best.state_dict)
    return probe


def pooled(labelled: LabelledTokens, folds: Sequence[Fold], probes: Sequence[Probe]) -> Interval:
    """The UAR of every fold's probe on the fold's test videos together."""
    rows = np.concatenate([fold.test for fold in folds])
    predicted = [
        predict_probabilities(labelled.reader(0), fold.test, [probe], device="cpu")[0].argmax(axis=1)
        for fold, probe in zip(folds, probes, strict=True)
    ]
    actors = [labelled.actors[row] for row in rows]
    return actor_interval(labelled.labels[rows], np.concatenate(predicted), actors, num_classes=len(NAMES))


def with_poisoned_passes(folder: Path, part: str, poison: float) -> tuple[LabelledTokens, Fold]:
    """The first fold; to the augmented passes of its videos outside `part` something is added."""
    manifest = synthetic_manifest()
    labelled, folds = label_tokens(manifest, synthetic_store(folder / "clean", manifest), FoldsConfig(count=3))
    sound = {labelled.video_ids[row] for row in getattr(folds[0], part)}

    def added(video: str, number: int) -> torch.Tensor:
        noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(number))
        return noise if video in sound else noise + poison

    store = synthetic_store(folder / f"{part} {poison}", manifest, passes=added)
    return replace(labelled, store=store), folds[0]


@pytest.mark.parametrize("poison", [1000.0, float("nan")])
def test_no_augmented_pass_of_a_validation_or_test_video_is_ever_read(tmp_path: Path, poison: float) -> None:
    """Poisoned, they change not a bit of what a search and an evaluation find; those of training videos do."""
    config, spec = TrainingConfig(epochs=4, rungs=()), ProbeSpec(0, "attentive", PARAMS, 0)

    def searched(poison: float) -> Any:
        labelled, fold = with_poisoned_passes(tmp_path, "train", poison)
        names: dict[str, Any] = {"num_classes": len(NAMES), "seed": 0}
        reader = labelled.reader(0)
        return train_pack(reader, labelled.labels, fold.train, fold.validation, [spec], config, **names)[0]

    def evaluated_on(poison: float, part: str = "development") -> Any:
        labelled, fold = with_poisoned_passes(tmp_path, part, poison)
        outcome = refit_and_score(FoldEvaluation(fold, fixed(fold), labelled, config, ONE, 0, Storage("unused")))
        return outcome.record["scores"], outcome.predictions

    assert searched(poison).curves == searched(0.0).curves
    assert evaluated_on(poison) == evaluated_on(0.0)
    if poison == 1000.0:
        assert evaluated_on(poison, "train") != evaluated_on(0.0, "train")


def test_a_store_of_other_videos_is_refused_and_corrected_labels_make_other_results(finished_run: FinishedRun) -> None:
    context, manifest = listen(finished_run.experiment, finished_run.tokens), finished_run.manifest
    fewer = Manifest(manifest.table.slice(1), manifest.label_names)
    with pytest.raises(UserError, match="made with other settings .*videos_hash"):
        context.labelled(fewer, context.store(fewer))
    turned = 1 - manifest.table["label"].to_numpy()
    place = manifest.table.column_names.index("label")
    corrected = Manifest(manifest.table.set_column(place, "label", pa.array(turned)), manifest.label_names)
    folder = results_folder(context, corrected, context.store(corrected))
    assert folder.uri != results_folder(context, manifest, context.store(manifest)).uri
    assert folder.names() == []


def test_an_actor_planted_in_two_parts_stops_the_run_before_anything_is_trained(
    finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = distributed.folds._fold

    def leaky(*arguments: Any) -> Fold:
        fold = made(*arguments)
        return replace(fold, train=np.sort(np.append(fold.train, fold.test[0])))

    monkeypatch.setattr(distributed.folds, "_fold", leaky)
    with finished_run.changed("training.epochs=3") as context:
        for stage in ("sweep", "evaluate"):
            with pytest.raises(UserError, match=r"folds: actor p\d is in train and in test of fold 0"):
                run_stage(context, stage)
        assert results_folder(context, finished_run.manifest, finished_run.store).names() == []
