"""What goes wrong in a pack: probes that diverge, memory that is too small, tokens and labels that are no use."""

from typing import Any

import numpy as np
import pytest
import torch

from distributed import prediction, training
from distributed.errors import UserError
from distributed.token_source import Rows
from distributed.training import ProbeSpec, TrainingConfig, train_pack
from tests.small_pack import (
    CLASSES,
    LABELS,
    NOBODY,
    TRAIN,
    VALIDATION,
    VIDEOS,
    WHOLE,
    attentive_spec,
    linear_spec,
    mixed_pack,
    run,
    tokens,
)


def test_probe_that_diverges_fails_with_step_and_epoch_and_the_others_go_on() -> None:
    specs = [linear_spec(0), attentive_spec(1, lr=1e30), linear_spec(2, lr=1e-2)]
    first, failed, last = run(specs)
    assert failed.state == "failed" and failed.score is None and not failed.state_dict
    assert failed.reason is not None and failed.epoch == 1 and not failed.curves
    assert "step 2 (epoch 1)" in failed.reason and "nan" in failed.reason
    without = run([specs[0], specs[2]])
    for one, other in zip((first, last), without, strict=True):
        assert one.state == "complete" and one.epoch == WHOLE.epochs
        for name, weight in one.state_dict.items():
            torch.testing.assert_close(weight, other.state_dict[name], rtol=0, atol=1e-5)


def test_last_step_that_breaks_the_weights_is_a_failure_too() -> None:
    # One step in all: its loss is finite, what it does to the weights is not.
    (failed,) = run([linear_spec(0, lr=1e39, batch_size=128)], TrainingConfig(epochs=1), NOBODY)
    assert failed.state == "failed" and failed.reason is not None and "weights" in failed.reason


def test_pack_of_failures_ends_early() -> None:
    seen: list[int] = []
    specs = [linear_spec(trial, lr=1e30) for trial in range(2)]
    results = run(specs, on_epoch=lambda epoch, rows: seen.append(epoch))
    assert [result.state for result in results] == ["failed", "failed"]
    assert seen == [1]


@pytest.mark.parametrize("most", [1, 3])
def test_memory_that_is_too_small_halves_the_readouts_and_changes_no_result(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainingConfig(epochs=4)  # with halving: the whole pack is compared, not its parts
    specs = [*mixed_pack(), linear_spec(9, lr=1e-2)]
    expected = run(specs, config)

    def small(probes: Any, tokens: Any) -> Any:
        if len(probes) > most:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {len(probes)}. More words.")
        return pack_readouts(probes, tokens)

    pack_readouts = prediction.pack_readouts
    monkeypatch.setattr(training, "pack_readouts", small)
    monkeypatch.setattr(prediction, "pack_readouts", small)
    with pytest.warns(UserWarning, match=f"begun again with {most}, to the same results"):
        results = run(specs, config)
    for one, other in zip(results, expected, strict=True):
        assert one.warning is not None and f"{most} of 6 probes" in one.warning and other.warning is None
        assert (one.state, one.epoch) == (other.state, other.epoch)
        for name, weight in one.state_dict.items():
            torch.testing.assert_close(weight, other.state_dict[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("part", "epoch"), [(TRAIN, 1), (VALIDATION, 1)])
def test_tokens_that_are_not_finite_are_an_error_that_names_the_video(part: Rows, epoch: int) -> None:
    source = tokens()
    source._tokens[part[3], :, 5, 7] = torch.nan
    names = [f"video-{number}" for number in range(VIDEOS)]
    specs = [linear_spec(0), ProbeSpec(1, "ridge", {"ridge.l2": 1.0, "ridge.class_weights": "none"}, seed=0)]
    for some in (specs, specs[:1], specs[1:]):
        with pytest.raises(UserError, match=f"video video-{part[3]}: its tokens .* not finite"):
            train_pack(source, LABELS, TRAIN, VALIDATION, some, WHOLE, num_classes=CLASSES, seed=0, names=names)


def test_a_class_that_nobody_shows_is_learned_by_no_probe_and_does_no_harm() -> None:
    """More classes than labels, and a class that the training part lacks."""
    shown = np.where(LABELS == 2, 5, LABELS)
    train = TRAIN[shown[TRAIN] != 3]
    specs = [
        linear_spec(0, lr=1e-2, class_weights="balanced"),
        attentive_spec(1, class_weights="balanced", label_smoothing=0.1, lr=3e-3),
        ProbeSpec(2, "logistic", {"logistic.l2": 0.1, "logistic.class_weights": "balanced"}, seed=0),
    ]
    config = TrainingConfig(epochs=8, rungs=())
    results = train_pack(tokens(), shown, train, VALIDATION, specs, config, num_classes=7, seed=0)
    for result in results:
        assert result.state == "complete" and result.score is not None
        # Of the four classes to be scored one was never seen: three can be recognised at best.
        assert 0.5 < result.score <= 0.75
        assert len(result.state_dict["linear.bias"]) == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": NOBODY}, "no video to train on"),
        ({"labels": LABELS + 1}, "labels run from 1 to 4, outside 0 to 3"),
        ({"specs": [linear_spec(0, batch_size=12)]}, "12 is not a power of two"),
        ({"specs": [attentive_spec(0, **{"attentive.heads": 5})]}, r"attentive\.heads = 5"),
    ],
)
def test_nonsense_is_refused_before_training(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "labels": LABELS,
        "train": TRAIN,
        "validation": VALIDATION,
        "specs": [linear_spec(0)],
        "config": WHOLE,
        **change,
    }
    with pytest.raises(ValueError, match=message):
        train_pack(tokens(), **arguments, num_classes=CLASSES, seed=0)
