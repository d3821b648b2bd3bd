"""Encoders of the transformers library: the tokens of its own models in the order t, h, w, and strict loading."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from distributed.encoders import EncoderConfig, check_weights, encoder_spec, load_encoder
from distributed.encoders.huggingface import model_flops
from distributed.encoders.model_folder import ModelFolder
from distributed.errors import UserError
from tests.small_models import FAMILIES, VIDEO, WIDTH, small_config, small_model, write_model

# Of each family (t, h, w) of the clips below: 8 frames, or what the model takes, of 32 pixels; 28 for DINOv2.
FRAMES = {"timesformer": 4, "timesformer-space": 4}
SIDE = {"dinov2": 28, "dinov2-registers": 28}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model of every family."""
    root = tmp_path_factory.mktemp("models")
    for family in FAMILIES:
        write_model(root / family, family)
    return root


def config_of(folder: Path, **settings: Any) -> EncoderConfig:
    return EncoderConfig(**{"name": f"huggingface:{folder}", "device": "cpu", **settings})


def clips_of(family: str, count: int = 2) -> Tensor:
    side = SIDE.get(family, 32)
    shape = (count, 3, FRAMES.get(family, 8), side, side)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def plain_tokens(family: str, model: Any, clip: Tensor) -> Tensor:
    """Tokens [t, h, w, D] of one clip [3, T, H, W], from the library's model called as its documentation shows."""
    video = clip.transpose(0, 1)[None]
    tokens: Tensor
    if family == "vjepa2":
        tokens = model.get_vision_features(pixel_values_videos=video)[0]
    elif family == "videomae":
        tokens = model(pixel_values=video).last_hidden_state[0]
    elif family == "videomae-pretraining":
        tokens = model.videomae(pixel_values=video).last_hidden_state[0]
    elif family == "vivit":
        tokens = model.vivit(pixel_values=video).last_hidden_state[0, 1:]
    elif family == "timesformer":  # row, column, then time
        tokens = model(pixel_values=video).last_hidden_state[0, 1:].reshape(2, 2, 4, WIDTH)
        tokens = torch.stack([tokens[:, :, t] for t in range(4)])
    elif family == "timesformer-space":  # every frame by itself, with a CLS token
        tokens = model(pixel_values=video).last_hidden_state[:, 1:]
    else:
        encoder = model.vision_model if family == "clip" else model
        first = {"clip": 1, "clip-vision": 1, "dinov2": 1, "dinov2-registers": 4, "siglip": 0}[family]
        tokens = torch.stack([encoder(pixel_values=frame[None]).last_hidden_state[0, first:] for frame in video[0]])
    return tokens.reshape(-1, 2, 2, WIDTH)


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_are_those_of_the_librarys_model(folders: Path, family: str) -> None:
    encoder = load_encoder(config_of(folders / family))
    clips = clips_of(family)
    tokens = encoder(clips)
    assert tokens.shape == (2, *encoder.spec.grid_of(clips.shape[2]), WIDTH) and tokens.dtype == torch.float32
    model = small_model(family)
    for found, clip in zip(tokens, clips, strict=True):
        expected = plain_tokens(family, model, clip)
        assert float((found - expected).norm() / expected.norm()) < 1e-5
    assert not any(weight.requires_grad for weight in encoder.module.parameters()) and not encoder.module.training


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "dinov2"])
def test_a_token_stands_where_its_patch_is(tmp_path: Path, family: str) -> None:
    """Without layers that mix places, a changed patch changes the token of its time, row and column alone."""
    encoder = load_encoder(config_of(write_model(tmp_path / "model", family, layers=0)))
    clips = clips_of(family, 1)
    spec, before = encoder.spec, encoder(clips)[0]
    for t, h, w in ((0, 0, 1), (1, 1, 0), (3, 0, 1)):
        changed = clips.clone()
        rows, columns = (slice(at * spec.patch, (at + 1) * spec.patch) for at in (h, w))
        changed[:, :, t * spec.tubelet : (t + 1) * spec.tubelet, rows, columns] += 1
        moved = (encoder(changed)[0] - before).abs().amax(dim=-1) > 1e-6
        assert moved.nonzero().tolist() == [[t, h, w]]


def test_the_spec_is_what_the_models_files_say(folders: Path) -> None:
    specs = {family: encoder_spec(config_of(folders / family)) for family in FAMILIES}
    for family, spec in specs.items():
        expected = FRAMES.get(family, 8) if family in VIDEO else 1
        assert (spec.name, spec.frames, spec.dim, spec.heads) == (f"huggingface:{family}", expected, WIDTH, 2)
        assert (spec.mean, spec.std) == ((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
        assert spec.revision == "" and len(spec.sha256) == len(spec.config_sha256) == 64
        assert load_encoder(config_of(folders / family)).spec == spec
    assert {f: s.tubelet for f, s in specs.items() if s.tubelet > 1} == {
        family: 2 for family in VIDEO if not family.startswith("timesformer")
    }
    assert specs["dinov2"].resolution == 28 and specs["dinov2"].patch == 14  # its positions are for 56 pixels
    assert specs["clip"].grid_of(5) == (5, 2, 2)


def test_other_sizes_of_clips_are_those_of_the_librarys_model_of_that_size(folders: Path) -> None:
    """V-JEPA 2 in the library places tokens by its configuration: at another resolution that has to follow."""
    transformers = pytest.importorskip("transformers")
    encoder = load_encoder(config_of(folders / "vjepa2", frames=4, resolution=64))
    assert encoder.spec.grid == (2, 4, 4)
    config = small_config("vjepa2")
    config.crop_size, config.frames_per_clip = 64, 4
    model = transformers.VJEPA2Model(config).eval()
    model.load_state_dict(small_model("vjepa2").state_dict())
    clips = torch.randn(1, 3, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model.get_vision_features(pixel_values_videos=clips.transpose(1, 2)).reshape(1, 2, 4, 4, WIDTH)
    found = encoder(clips)
    assert float((found - expected).norm() / expected.norm()) < 1e-5
    assert load_encoder(config_of(folders / "dinov2", resolution=42))(torch.zeros(1, 3, 2, 42, 42)).shape[1:4] == (
        2,
        3,
        3,
    )


@pytest.mark.parametrize(
    ("family", "sizes", "message"),
    [
        ("videomae", {"resolution": 64}, "a videomae takes its own `resolution` alone; remove encoder.resolution"),
        ("clip", {"frames": 4}, "a clip takes its own `frames` alone"),
        ("vjepa2", {"frames": 5}, "frames is 5: it has to be a multiple of 2"),
        ("dinov2", {"resolution": 30}, "resolution is 30: it has to be a multiple of 14"),
    ],
)
def test_sizes_that_a_model_does_not_take_are_refused(
    folders: Path, family: str, sizes: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        encoder_spec(config_of(folders / family, **sizes))


@pytest.mark.parametrize(("family", "frames", "tokens", "tubelet"), [("vjepa2", 8, 16, 2), ("dinov2", 1, 4, 1)])
def test_operations_of_a_clip_are_those_of_its_matrix_products(
    folders: Path, family: str, frames: int, tokens: int, tubelet: int
) -> None:
    """Two blocks of width 32: qkv and output 4 D^2, the MLP 2 D M, attention 2 N D, and the patches, per token."""
    side, patch, cls = (32, 16, 0) if family == "vjepa2" else (28, 14, 1)
    seen = tokens + cls
    blocks = 2 * seen * (4 * WIDTH**2 + 2 * WIDTH * 4 * WIDTH + 2 * seen * WIDTH)
    expected = 2 * (tokens * 3 * tubelet * patch**2 * WIDTH + blocks)
    found = model_flops(ModelFolder.find(f"huggingface:{folders / family}", None), frames, side)
    assert found == expected


@pytest.mark.parametrize("family", ["vjepa2", "timesformer", "clip"])
def test_half_precision_is_close_and_gives_float32(folders: Path, family: str) -> None:
    full = load_encoder(config_of(folders / family))(clips_of(family))
    half = load_encoder(config_of(folders / family, dtype="bfloat16"))(clips_of(family))
    assert half.dtype == torch.float32 and 0 < float((half - full).norm() / full.norm()) < 2e-2


def test_loading_opens_no_connection_runs_no_code_of_the_folder_and_draws_no_random_numbers(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def no_network(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    folder = shutil.copytree(folders / "vjepa2", tmp_path / "model")
    values = json.loads((folder / "config.json").read_text())
    values["auto_map"] = {"AutoConfig": "theirs.TheirConfig", "AutoModel": "theirs.TheirModel"}
    (folder / "config.json").write_text(json.dumps(values))
    (folder / "theirs.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w')")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load_encoder(config_of(folder))
    assert torch.equal(torch.rand(2), expected)
    assert not (tmp_path / "was_run").exists()
    assert capfd.readouterr().err == ""


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    state = safetensors.torch.load_file(folder / "model.safetensors")
    change(state)
    safetensors.torch.save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def refused(folder: Path) -> str:
    for action in (load_encoder, check_weights):
        with pytest.raises(UserError) as caught:
            action(config_of(folder))
        assert str(folder) in str(caught.value)
    return str(caught.value)


NORM = "encoder.layer.1.norm1.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop(NORM), f"missing parameters: {NORM}. Use weights and a config.json that belong"),
        (lambda state: state.update(extra=torch.zeros(1)), "unexpected parameters: extra"),
        (lambda state: state.update({NORM: torch.zeros(5)}), f"wrong shapes: {NORM} is [5] and has to be [32]"),
        (lambda state: state[NORM].fill_(torch.nan), f"values that are not finite: {NORM}. Use the original file"),
    ],
)
def test_weights_that_do_not_fit_exactly_are_refused_by_name(
    folders: Path, tmp_path: Path, change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    folder = shutil.copytree(folders / "vjepa2", tmp_path / "model")
    rewrite(folder, change)
    assert message in refused(folder)


def test_weights_of_another_architecture_are_refused(folders: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(folders / "vjepa2", tmp_path / "model")
    shutil.copy(folders / "videomae" / "model.safetensors", folder)
    message = refused(folder)
    assert "missing parameters: encoder." in message and "unexpected parameters: embeddings." in message
    assert " more" in message  # the lists are cut


def test_truncated_weights_are_refused(folders: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(folders / "clip", tmp_path / "model")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "truncated" in refused(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, "`architectures` is ['LlamaForCausalLM']. These are known here: VJ"),
        ({"architectures": None}, "`architectures` is None"),
        ({"model_type": None}, "`model_type` is None"),
        ({"patch_size": [16, 8]}, "patch_size is [16, 8]. Only square"),
        ({"quantization_config": {"bits": 4}}, "these weights are quantized"),
        ({"num_frames": "many"}, "its settings are wrong"),
        ({"image_size": 64}, "it asks for 32 pixels, and the positions of config.json are for 64"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused_before_weights_are_read(
    folders: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = shutil.copytree(folders / "videomae", tmp_path / "model")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | changes))
    with pytest.raises(UserError) as caught:
        encoder_spec(config_of(folder))
    assert message in str(caught.value) and str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": "model.safetensors"}, "holds its weights itself; remove `weights`"),
        ({"revision": "main"}, "and this is a folder"),
        ({"name": "tiny", "revision": "main"}, "encoder tiny: `revision` pins a model of the hub"),
        ({"name": "dinov2"}, "not known. Use one of tiny, .*, huggingface:FOLDER, huggingface:NAME_ON_THE_HUB"),
    ],
)
def test_settings_of_the_encoder_that_do_not_go_together_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config_of(Path("/models/a"), **settings)
