"""Winners as checkpoints of the published code: files that hold tensors alone, in its names, and load back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from distributed.errors import UserError
from distributed.prediction import pack_logits
from distributed.published import DESCRIPTION, save_published
from distributed.storage import Storage
from distributed.winners import Winner, build_winner
from search_spaces import attentive, deep
from search_spaces.family import build_probe

DIM, NAMES = 24, ("happy", "sad", "calm")
DEEP = {"deep.depth": 3, "deep.heads": 4, "deep.mlp_ratio": 4.0, "deep.dropout": 0.1}
ATTENTIVE = attentive.published_params(heads=4)


def winner(fold: int, family: str, params: dict[str, Any]) -> Winner:
    probe = build_probe(family, params, dim=DIM, num_classes=3, seed=fold)
    with torch.no_grad():
        for weight in probe.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    record = {"fold": fold, "family": family, "params": {"family": family, **params}, "grid": [1, 2, 2, 2]}
    return build_winner(record, safetensors.torch.save(probe.state_dict()), dim=DIM, num_classes=3)


def test_checkpoints_load_with_tensors_alone_and_say_the_same(tmp_path: Path) -> None:
    winners = [winner(0, "attentive", ATTENTIVE), winner(3, "deep", DEEP)]
    folder = Storage.at(tmp_path / "published")
    save_published(winners, folder, label_names=NAMES)
    assert sorted(folder.names()) == [DESCRIPTION, "fold-0.pth", "fold-3.pth"]
    first = torch.load(tmp_path / "published/fold-0.pth", weights_only=True)["classifier"]
    (second,) = torch.load(tmp_path / "published/fold-3.pth", weights_only=True)["classifiers"]
    assert all(name.startswith("module.") for name in [*first, *second])
    tokens = torch.randn(4, 8, DIM)
    loaded = [attentive.load_published(first, heads=4), deep.load_published(second, heads=4)]
    for one, probe in zip(winners, loaded, strict=True):
        assert torch.equal(pack_logits([one.probe], tokens)[0], pack_logits([probe], tokens)[0])
    described = folder.read_json(DESCRIPTION)
    assert described["label_names"] == list(NAMES)
    assert described["folds"][1] == {
        "fold": 3,
        "file": "fold-3.pth",
        "AttentiveClassifier": {"embed_dim": DIM, "num_heads": 4, "mlp_ratio": 4.0, "depth": 3, "num_classes": 3},
    }


@pytest.mark.parametrize(
    ("family", "params", "message"),
    [
        ("linear", {"linear.dropout": 0.0}, "fold 1: probes of the family linear have no published layout"),
        ("attentive", {**ATTENTIVE, "attentive.queries": 2}, "fold 1: the published classifier has one query"),
    ],
)
def test_what_has_no_published_layout_is_refused_before_anything_is_written(
    family: str, params: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        both = [winner(0, "attentive", ATTENTIVE), winner(1, family, params)]
        save_published(both, Storage.at(tmp_path / "published"), label_names=NAMES)
    assert not (tmp_path / "published").exists()
