"""The record of a probe is what the records' contract says, and survives JSON."""

import json

import torch

from distributed.probe_results import ProbeResult, ProbeSpec, probe_record


def test_record_is_plain_data_without_weights() -> None:
    row = {"epoch": 1, "lr": 1e-3, "train_loss": 1.5, "validation_loss": 1.4}
    row |= {"validation_uar": 0.5, "validation_war": 0.4}
    result = ProbeResult(
        ProbeSpec(12, "linear", {"lr": 1e-3, "linear.dropout": 0.1}, seed=3),
        num_parameters=40,
        state="pruned",
        epoch=5,
        best_epoch=5,
        score=0.5,
        reason="among the weaker at epoch 5",
        curves=[row],
        state_dict={"linear.weight": torch.zeros(2)},
        seconds=1.25,
    )
    record = probe_record(result, 2, 1)
    assert json.loads(json.dumps(record)) == record
    assert record == {
        "trial": 12,
        "fold": 2,
        "pack": 1,
        "family": "linear",
        "params": {"family": "linear", "lr": 1e-3, "linear.dropout": 0.1},
        "state": "pruned",
        "score": 0.5,
        "epoch": 5,
        "best_epoch": 5,
        "reason": "among the weaker at epoch 5",
        "warning": None,
        "num_parameters": 40,
        "seconds": 1.25,
        "curves": [row],
    }
