"""MLflow's model format around an exported folder: readable text and no code, and others' models are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from mlflow.models import Model

from distributed.served import ServingConfig
from tracking.model_files import DATA, LOADER, SETTINGS, ForeignModelError, ModelCard, check_model, write_model

CARD = ModelCard(("happy", "sad"), "clip.mp4", ("mlflow==3.0.0", "torch==2.0.0"))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    data = tmp_path / "model"
    data.mkdir()
    (data / "model.json").write_text("{}")
    write_model(tmp_path / "whole", data, CARD, model_id="m-1", run_id="r1", location="file:///somewhere")
    return tmp_path / "whole"


def changed(folder: Path, **flavour: object) -> Path:
    found = yaml.safe_load((folder / "MLmodel").read_text())
    found["flavors"]["python_function"] |= flavour
    (folder / "MLmodel").write_text(yaml.safe_dump(found))
    return folder


def test_a_model_says_what_it_takes_and_gives_and_needs(written: Path) -> None:
    model = Model.load(str(written))
    assert (model.model_id, model.run_id) == ("m-1", "r1")
    assert [column.type.name for column in model.signature.inputs.inputs] == ["string"]
    assert model.signature.outputs.input_names() == ["video", "predicted", "p_happy", "p_sad", "reason"]
    assert model.load_input_example(str(written)) == ["clip.mp4"]
    assert (written / "requirements.txt").read_text().splitlines() == list(CARD.requirements)
    assert model.flavors["python_function"]["loader_module"] == LOADER
    assert model.flavors["python_function"]["config"] == SETTINGS == ServingConfig().model_dump()
    assert (check_model(written) / "model.json").read_text() == "{}"
    kinds = {file.suffix for file in written.rglob("*") if file.is_file()}
    assert kinds == {"", ".json", ".txt", ".yaml"}, "a pickle or code is there"
    assert (written / DATA).is_dir()


def test_a_model_that_is_not_ours_or_brings_code_is_refused(written: Path) -> None:
    for flavour, words in [
        ({"loader_module": "mlflow.sklearn"}, "its loader is mlflow.sklearn"),
        (
            {"code": "code"},
            "python_function and code, and fersweep reads models with the loader distributed.served alone",
        ),
        ({"python_model": "python_model.pkl"}, "its loader is distributed.served"),
        ({"data": "../elsewhere"}, "its loader is distributed.served"),
    ]:
        before = (written / "MLmodel").read_text()
        with pytest.raises(ForeignModelError, match=words):
            check_model(changed(written, **flavour))
        (written / "MLmodel").write_text(before)
    assert check_model(written) == written / DATA
    for text in ("flavors: {sklearn: {}}", "- a list", "a: [", ""):
        (written / "MLmodel").write_text(text)
        with pytest.raises(ForeignModelError, match="its MLmodel file is none that fersweep writes"):
            check_model(written)
    (written / "MLmodel").unlink()
    with pytest.raises(ForeignModelError, match="none that fersweep writes"):
        check_model(written)
