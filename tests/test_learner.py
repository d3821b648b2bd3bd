"""A probe in training: what ends it, and with which weights."""

from typing import Any

import pytest
import torch

from distributed.learner import Learner, Task, TrainingConfig
from distributed.probe_results import ProbeSpec
from search_spaces.probe import TokenGrid

CONFIG = TrainingConfig(epochs=10, patience=3)


def learner(config: TrainingConfig = CONFIG, epochs: int | None = None, **params: Any) -> Learner:
    task = Task(8, TokenGrid(1, 1, 1, 6), 3, 12, torch.ones(3), config, torch.device("cpu"))
    return Learner(ProbeSpec(0, "linear", {"linear.dropout": 0.0, **params}, 0, epochs), task)


def epoch(one: Learner, number: int, uar: float) -> None:
    """An epoch of one step after which every bias is the epoch's number."""
    one.result.epoch = number
    logits = one.probe.classify(torch.randn(4, 1, 8))
    loss = one.loss(logits, torch.arange(4) % 3)
    loss.backward()  # type: ignore[no-untyped-call]
    one.step(loss)
    with torch.no_grad():
        one.probe.get_parameter("linear.bias").fill_(number)
    one.close_epoch(number, [4])
    one.take_score(uar=uar, war=uar, loss=1.0)
    one.end_if_due()


def test_patience_counts_epochs_without_a_higher_score_and_keeps_the_best_weights() -> None:
    one = learner()
    for number, uar in enumerate([0.3, 0.5, 0.5, 0.4], start=1):
        epoch(one, number, uar)
        assert not one.ended
    epoch(one, 5, 0.5)
    assert one.ended and one.result.state == "complete"
    assert (one.result.epoch, one.result.best_epoch, one.result.score) == (5, 2, 0.5)
    assert one.result.state_dict["linear.bias"].tolist() == [2, 2, 2]


def test_without_patience_the_last_epoch_counts() -> None:
    one = learner(TrainingConfig(epochs=2))
    epoch(one, 1, 0.9)
    epoch(one, 2, 0.1)
    assert one.ended and (one.result.best_epoch, one.result.score) == (2, 0.1)
    assert one.result.state_dict["linear.bias"].tolist() == [2, 2, 2]


def test_a_number_of_epochs_ends_it_and_leaves_the_schedule_as_it_is() -> None:
    short, whole = learner(TrainingConfig(epochs=4), epochs=2), learner(TrainingConfig(epochs=4))
    for number in (1, 2):
        epoch(short, number, 0.5)
        epoch(whole, number, 0.5)
    assert short.ended and not whole.ended
    assert [row["lr"] for row in short.result.curves] == [row["lr"] for row in whole.result.curves]


def test_averages_are_kept_as_they_were_at_the_best_epoch() -> None:
    one = learner(TrainingConfig(epochs=2, patience=1), averaging=0.5)
    epoch(one, 1, 0.9)
    with one.scored_weights():
        best = one.probe.get_parameter("linear.weight").detach().clone()
    assert not torch.equal(best, one.probe.get_parameter("linear.weight"))
    epoch(one, 2, 0.1)
    assert one.result.best_epoch == 1 and torch.equal(one.result.state_dict["linear.weight"], best)


def test_failing_takes_score_and_epoch() -> None:
    one = learner()
    epoch(one, 1, 0.5)
    one.losses = [torch.tensor(1.0), torch.tensor(torch.nan)]
    one.close_epoch(2, [4, 4])
    assert one.result.state == "failed" and one.result.score is None and one.result.best_epoch is None
    assert one.result.reason == "training loss is nan at step 4 (epoch 2); try a lower lr"
    assert [row["epoch"] for row in one.result.curves] == [1]


def test_unknown_class_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="class_weights"):
        learner(class_weights="even")
