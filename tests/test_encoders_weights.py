"""Weights files: what is read, and that everything else is refused with the file, the reason and the fix."""

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from distributed.encoders.vjepa import Shape, VisionTransformer
from distributed.encoders.weights import (
    check_state,
    file_sha256,
    read_shape,
    read_state,
    write_weights,
)
from distributed.errors import UserError

SHAPE = Shape(dim=24, depth=2, heads=2, resolution=32, frames=4)


class RunsCode:
    """Opening a pickle of this runs a command: it makes a file named `marker`."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.fixture
def model() -> VisionTransformer:
    torch.manual_seed(0)
    return SHAPE.build()


def checkpoint(state: dict[str, Tensor], path: Path, **more: object) -> Path:
    """A file as V-JEPA publishes it."""
    prefixed = {f"module.backbone.{name}": value for name, value in state.items()}
    other = {"module.backbone.norm.weight": torch.zeros(3)}
    torch.save({"encoder": other, "target_encoder": prefixed, "epoch": 300, "lr": 1e-3, **more}, path)
    return path


def refused(read: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def assert_same(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert sorted(state) == sorted(expected)
    assert all(torch.equal(state[name], value) for name, value in expected.items())


def test_a_published_checkpoint_gives_the_target_encoder(tmp_path: Path, model: VisionTransformer) -> None:
    path = checkpoint(model.state_dict(), tmp_path / "vith16.pth.tar")
    assert_same(read_state(path), model.state_dict())
    check_state(model, read_state(path), path)
    assert read_shape(path) is None


def test_a_prefix_is_taken_off_only_where_every_name_has_it(tmp_path: Path, model: VisionTransformer) -> None:
    plain = tmp_path / "plain.pt"
    torch.save({"target_encoder": model.state_dict()}, plain)
    assert_same(read_state(plain), model.state_dict())
    mixed = tmp_path / "mixed.pt"
    torch.save({"target_encoder": {"module.a": torch.zeros(1), "b": torch.zeros(1)}}, mixed)
    assert sorted(read_state(mixed)) == ["b", "module.a"]


def test_a_safetensors_file_comes_back_with_its_shape(tmp_path: Path, model: VisionTransformer) -> None:
    path = tmp_path / "tiny.safetensors"
    write_weights(path, model)
    assert_same(read_state(path), model.state_dict())
    assert read_shape(path) == SHAPE
    assert [file.name for file in tmp_path.iterdir()] == ["tiny.safetensors"]


def test_the_same_weights_are_written_as_the_same_bytes(tmp_path: Path, model: VisionTransformer) -> None:
    for name in ("one", "two"):
        write_weights(tmp_path / f"{name}.safetensors", model)
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


def test_hash_is_of_the_file_as_it_is_now(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    for content in (b"first", b"another one"):
        path.write_bytes(content)
        assert file_sha256(path) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("suffix", [".pth.tar", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (bytes(range(256)) * 4, "truncated or of another kind"),
    ],
)
def test_files_that_are_no_weights(tmp_path: Path, suffix: str, content: bytes, reason: str) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    assert reason in refused(read_state, path)
    if suffix == ".safetensors":
        assert reason in refused(read_shape, path)


def test_a_path_to_nothing_or_to_a_folder(tmp_path: Path) -> None:
    assert "no such file" in refused(read_state, tmp_path / "absent.pth.tar")
    assert "folder" in refused(read_state, tmp_path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_truncated_files(tmp_path: Path, model: VisionTransformer, share: float) -> None:
    write_weights(tmp_path / "a.safetensors", model)
    checkpoint(model.state_dict(), tmp_path / "a.pth.tar")
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
        assert "truncated" in refused(read_state, path)


def test_a_pickle_with_code_in_it_is_not_opened(tmp_path: Path, model: VisionTransformer) -> None:
    marker = tmp_path / "was_run"
    path = checkpoint(model.state_dict(), tmp_path / "code.pth.tar", extra=RunsCode(marker))
    message = refused(read_state, path)
    assert "would run code" in message
    assert "system" in message
    bare = tmp_path / "bare.pt"
    bare.write_bytes(pickle.dumps(RunsCode(marker)))
    assert "bare pickle" in refused(read_state, bare)
    assert not marker.exists()


def test_a_checkpoint_without_target_encoder_lists_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "probe.pt"
    torch.save({"classifier": {}, "opt": {}, "epoch": 3}, path)
    assert "no 'target_encoder' in this checkpoint; it holds: classifier, epoch, opt." in refused(read_state, path)
    torch.save(torch.zeros(2), path)
    assert "it holds a Tensor" in refused(read_state, path)
    torch.save({"target_encoder": {"norm.weight": 1.0}}, path)
    assert "not a state dict" in refused(read_state, path)


def test_missing_unexpected_and_misshapen_parameters_are_listed(model: VisionTransformer) -> None:
    state = model.state_dict()
    del state["norm.bias"]
    state["head.weight"] = torch.zeros(3)
    state["norm.weight"] = torch.zeros(7)
    state["blocks.0.norm1.bias"] = torch.zeros(24, dtype=torch.int64)
    message = refused(lambda path: check_state(model, state, path), Path("w.pt"))
    assert "missing parameters: norm.bias;" in message
    assert "unexpected parameters: head.weight;" in message
    assert "norm.weight is [7] and has to be [24]" in message
    assert "blocks.0.norm1.bias is int64 [24] and has to be [24]" in message


def test_long_lists_of_parameters_are_cut_at_eight(model: VisionTransformer) -> None:
    state = {name: value for name, value in model.state_dict().items() if "blocks.1" not in name}
    message = refused(lambda path: check_state(model, state, path), Path("w.pt"))
    assert message.count("blocks.1.") == 8
    assert "and 4 more" in message


def test_weights_of_another_named_encoder_are_recognised() -> None:
    large = Shape(dim=1024, depth=24, heads=16, resolution=224)
    with torch.device("meta"):
        huge, state = Shape(dim=1280, depth=32, heads=16, resolution=384).build(), large.build().state_dict()
    state["pos_embed"] = torch.zeros(1, 1568, 1024)
    message = refused(lambda path: check_state(huge, state, path), Path("w.pt"))
    assert "of the shape of vjepa-vitl16-224: set the encoder's `name` to that" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_name_their_parameters(model: VisionTransformer, value: float) -> None:
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state["blocks.1.mlp.fc1.weight"][3, 2] = value
    state["norm.bias"][0] = -value
    message = refused(lambda path: check_state(model, state, path), Path("w.pt"))
    assert "parameters with values that are not finite: blocks.1.mlp.fc1.weight, norm.bias." in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting"),
        ("[1]", "mapping"),
        (json.dumps({"dim": 24, "depth": 2, "heads": 2}), "resolution"),
        (json.dumps({"dim": 24, "depth": 2, "heads": 7, "resolution": 32}), "heads"),
    ],
)
def test_a_wrong_shape_in_the_metadata_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "wrong.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, metadata={"shape": text})
    message = refused(read_shape, path)
    assert "metadata entry 'shape' is wrong" in message
    assert reason in message
