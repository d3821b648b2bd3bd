"""Model folders are found without a network, hashed, and refused with the file, the reason and the fix."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path

import pytest
import safetensors.torch
import torch

from distributed.encoders.model_folder import ModelFolder, check_name
from distributed.errors import UserError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def write_folder(path: Path, *, shards: int = 0) -> Path:
    """A folder that has all its files, whatever they mean."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text('{"model_type": "x"}')
    (path / "preprocessor_config.json").write_text('{"size": 1}')
    names = [f"model-{number + 1:05d}-of-{shards:05d}.safetensors" for number in range(shards)]
    for number, name in enumerate(names or ["model.safetensors"]):
        safetensors.torch.save_file({f"w{number}": torch.full((2,), float(number))}, path / name)
    if shards:
        index = {"metadata": {}, "weight_map": {f"w{number}": name for number, name in enumerate(names)}}
        (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return path


def refused(folder: ModelFolder) -> str:
    with pytest.raises(UserError) as caught:
        folder.weights()
    return str(caught.value)


def local(path: Path) -> ModelFolder:
    return ModelFolder.find(f"huggingface:{path}", None)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub with one model, laid out as `hf download` lays it out; whoever calls out is told off."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def no_network(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    model = tmp_path / "hub" / "models--someone--a-model"
    write_folder(model / "snapshots" / COMMIT)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(COMMIT)
    return tmp_path / "hub"


def test_a_hub_name_is_its_snapshot_in_the_cache(cache: Path) -> None:
    for revision in (None, "main", COMMIT):
        folder = ModelFolder.find("huggingface:someone/a-model", revision)
        assert folder.path == cache / "models--someone--a-model" / "snapshots" / COMMIT
        assert (folder.label, folder.revision) == ("huggingface:someone/a-model", COMMIT)


@pytest.mark.parametrize(
    ("name", "revision", "command"),
    [
        ("someone/another", None, "hf download someone/another"),
        ("someone/a-model", "v2", "hf download someone/a-model --revision v2"),
        ("someone/a-model", "f" * 40, "hf download someone/a-model --revision " + "f" * 40),
    ],
)
def test_what_is_not_in_the_cache_says_how_to_fetch_it_and_calls_nobody(
    cache: Path, name: str, revision: str | None, command: str
) -> None:
    with pytest.raises(UserError) as caught:
        ModelFolder.find(f"huggingface:{name}", revision)
    message = str(caught.value)
    assert message.endswith(command) and str(cache) in message and "nothing is downloaded during a job" in message


def test_names_that_cannot_be_found_or_pinned_are_refused() -> None:
    check_name("huggingface:someone/a-model", "main")
    for name, revision, message in [
        ("huggingface:", None, "a folder on this machine or a name of the hub"),
        ("huggingface:a/b/c", None, "a name of the hub"),
        ("huggingface:https://host/model", None, "a name of the hub"),
        ("huggingface:/models/a", "main", "`revision` pins a model of the hub, and this is a folder"),
    ]:
        with pytest.raises(UserError, match=message):
            check_name(name, revision)
    with pytest.raises(UserError, match="there is no such folder"):
        ModelFolder.find("huggingface:/nowhere/model", None)


def test_one_file_has_its_own_hash_and_several_have_one_of_their_hashes(tmp_path: Path) -> None:
    one = local(write_folder(tmp_path / "one"))
    assert one.label == "huggingface:one" and one.revision == ""
    assert one.weights_sha256() == hashlib.sha256((one.path / "model.safetensors").read_bytes()).hexdigest()
    two = local(write_folder(tmp_path / "two", shards=2))
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in two.weights()]
    assert len(lines) == 2 and two.weights_sha256() == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_hash_of_the_settings_follows_both_files(tmp_path: Path) -> None:
    folder = local(write_folder(tmp_path / "a"))
    hashes = {folder.config_sha256()}
    for name in ("config.json", "preprocessor_config.json"):
        (folder.path / name).write_text('{"model_type": "x", "other": 1}')
        hashes.add(folder.config_sha256())
    assert len(hashes) == 3


def test_the_settings_of_videos_come_before_those_of_images(tmp_path: Path) -> None:
    folder = local(write_folder(tmp_path / "a"))
    assert folder.processor()[1] == {"size": 1}
    (folder.path / "video_preprocessor_config.json").write_text('{"size": 2}')
    assert folder.processor() == (folder.path / "video_preprocessor_config.json", {"size": 2})
    for name in ("video_preprocessor_config.json", "preprocessor_config.json"):
        (folder.path / name).unlink()
    (folder.path / "processor_config.json").write_text('{"image_processor": {"size": 3}, "tokenizer": {}}')
    assert folder.processor()[1] == {"size": 3}
    (folder.path / "processor_config.json").unlink()
    with pytest.raises(UserError, match="no settings of an image or video processor lie in this folder"):
        folder.processor()


def test_a_pickle_is_refused_with_what_makes_safetensors_of_it(tmp_path: Path) -> None:
    folder = local(write_folder(tmp_path / "a"))
    (folder.path / "model.safetensors").rename(folder.path / "pytorch_model.bin")
    message = refused(folder)
    assert "its weights are a pickle (pytorch_model.bin), which could run code" in message
    assert "save_pretrained(NEW_FOLDER)" in message
    (folder.path / "pytorch_model.bin").unlink()
    assert "there is no model.safetensors in this folder" in refused(folder)


def test_shards_must_all_be_there_and_whole_and_in_the_folder(tmp_path: Path) -> None:
    folder = local(write_folder(tmp_path / "a", shards=3))
    second, third = folder.weights()[1:]
    third.write_bytes(third.read_bytes()[:-3])
    assert third.name in refused(folder) and "truncated" in refused(folder)
    second.unlink()
    assert f"{second.name}: there is no such file" in refused(folder)
    (folder.path / "model.safetensors.index.json").write_text('{"weight_map": {"w": "../a.safetensors"}}')
    assert "this names no weights files" in refused(folder)


def test_files_that_are_no_json_are_refused(tmp_path: Path) -> None:
    folder = local(write_folder(tmp_path / "a"))
    for text, message in [("{", "this is no JSON"), ("[1]", "holds no settings"), ("", "the file is empty")]:
        (folder.path / "config.json").write_text(text)
        with pytest.raises(UserError, match=message):
            folder.config()
