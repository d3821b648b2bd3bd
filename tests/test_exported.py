"""An exported model comes back with the same numbers, and refuses files that are not what they were."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distributed.errors import UserError
from distributed.exported import MODEL, ExportedModel, temperature_of
from distributed.storage import Storage
from jobs.export import experiment_model
from tests.finished_run import FOLDS, FinishedRun
from tests.small_road import write_encoder


@pytest.fixture
def model(finished_run: FinishedRun) -> ExportedModel:
    return experiment_model(finished_run.context)


@pytest.fixture
def folder(model: ExportedModel, tmp_path: Path) -> Storage:
    storage = Storage.at(tmp_path / "model")
    model.save(storage)
    return storage


def test_a_saved_model_comes_back_as_it_was(model: ExportedModel, folder: Storage) -> None:
    assert folder.names() == [*(f"fold-{fold}.safetensors" for fold in range(FOLDS)), MODEL]
    loaded = ExportedModel.load(folder)
    assert replace(loaded, winners=()) == replace(model, winners=())
    for there, here in zip(loaded.winners, model.winners, strict=True):
        assert there.fold == here.fold and there.record["scores"] == here.record["scores"]
        assert "curves" not in there.record and "bins" not in str(there.record)
        assert temperature_of(there) == temperature_of(here) == here.record["calibration"]["temperature"]
        states = there.probe.state_dict(), here.probe.state_dict()
        assert states[0].keys() == states[1].keys() != set()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
        assert not there.probe.training
    assert loaded.label_names == ("happy", "sad")


def test_one_folds_probe_can_be_chosen(model: ExportedModel) -> None:
    assert [winner.fold for winner in model.fold(1).winners] == [1]
    with pytest.raises(UserError, match="fold 7: the model has no such fold; choose one of 0, 1"):
        model.fold(7)


def test_a_folder_that_is_not_whole_or_not_ours_is_refused(folder: Storage, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no model.json; write it with `fersweep export"):
        ExportedModel.load(Storage.at(tmp_path))
    weights = folder.read_bytes("fold-1.safetensors")
    folder.write_bytes("fold-1.safetensors", weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(UserError, match="fold-1.safetensors: not the file that was exported"):
        ExportedModel.load(folder)
    folder.delete("fold-1.safetensors")
    with pytest.raises(UserError, match="the probe of fold 1 is missing"):
        ExportedModel.load(folder)
    folder.write_json(MODEL, {name: value for name, value in folder.read_json(MODEL).items() if name != "pool"})
    with pytest.raises(UserError, match="model.json: lacks pool; export the experiment again"):
        ExportedModel.load(folder)
    folder.write_json(MODEL, {**folder.read_json(MODEL), "format_version": 99})
    with pytest.raises(UserError, match="has format 99, this version of fersweep reads 1"):
        ExportedModel.load(folder)
    folder.write_bytes(MODEL, b"{")
    with pytest.raises(UserError, match="model.json: is no JSON file"):
        ExportedModel.load(folder)


def test_the_encoders_weights_must_be_there_and_the_same(model: ExportedModel, tmp_path: Path) -> None:
    assert model.encoder.weights is not None
    assert model.with_encoder().spec == model.spec
    moved = tmp_path / "elsewhere.safetensors"
    shutil.copy(model.encoder.weights, moved)
    gone = replace(model, encoder=replace(model.encoder, weights=str(tmp_path / "gone.safetensors")))
    with pytest.raises(UserError, match=r"gone.safetensors: there is no such file; .* --weights"):
        gone.with_encoder()
    assert gone.with_encoder(weights=str(moved), device="cpu").encoder.weights == str(moved)
    torch.manual_seed(1)
    other = write_encoder(tmp_path / "other.safetensors")
    other.write_bytes(other.read_bytes()[:-4] + bytes(4))
    with pytest.raises(UserError, match=rf"other.safetensors: these are other weights .*{model.spec.sha256[:12]}"):
        model.with_encoder(weights=str(other))
