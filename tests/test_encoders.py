"""The encoders' common interface: configuration, spec, and loading onto a device."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from distributed.encoders import TINY_WEIGHTS, EncoderConfig, encoder_spec, load_encoder
from distributed.encoders.vjepa import Shape, VisionTransformer
from distributed.encoders.weights import file_sha256, write_weights
from distributed.errors import UserError

SHAPE = Shape(dim=24, depth=2, heads=2, resolution=32, frames=4)
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture
def model() -> VisionTransformer:
    torch.manual_seed(0)
    return SHAPE.build().eval()


@pytest.fixture
def weights(tmp_path: Path, model: VisionTransformer) -> str:
    path = tmp_path / "small.safetensors"
    write_weights(path, model)
    return str(path)


def clips(*size: int) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(1))


def test_spec_tells_the_file_without_loading_it(weights: str) -> None:
    spec = encoder_spec(EncoderConfig(weights=weights))
    assert (spec.name, spec.dim, spec.heads, spec.resolution, spec.frames) == ("tiny", 24, 2, 32, 4)
    assert spec.grid == (2, 2, 2)
    assert spec.mean == (0.485, 0.456, 0.406)
    assert spec.sha256 == file_sha256(Path(weights))


def test_loaded_encoder_is_the_model_that_was_written(weights: str, model: VisionTransformer) -> None:
    encoder = load_encoder(EncoderConfig(weights=weights, device="cpu"))
    tokens = encoder(clips(2, 3, 4, 32, 32))
    assert torch.equal(tokens, model(clips(2, 3, 4, 32, 32)).detach())
    assert tokens.shape == (2, *encoder.spec.grid, 24)
    assert encoder.spec == encoder_spec(EncoderConfig(weights=weights))
    assert encoder.device == torch.device("cpu")


def test_other_sizes_of_clips_interpolate_the_positions(weights: str, model: VisionTransformer) -> None:
    encoder = load_encoder(EncoderConfig(weights=weights, device="cpu", frames=8, resolution=64))
    assert (encoder.spec.frames, encoder.spec.resolution, encoder.spec.grid) == (8, 64, (4, 4, 4))
    tokens = encoder(clips(1, 3, 8, 64, 64))
    assert tokens.shape == (1, 4, 4, 4, 24) and torch.equal(tokens, model(clips(1, 3, 8, 64, 64)).detach())
    with pytest.raises(UserError, match="encoder frames is 7: it has to be a multiple of 2"):
        encoder_spec(EncoderConfig(weights=weights, frames=7))
    with pytest.raises(UserError, match="encoder resolution is 40: it has to be a multiple of 16"):
        encoder_spec(EncoderConfig(weights=weights, resolution=40))


def test_loaded_encoder_is_frozen(weights: str) -> None:
    encoder = load_encoder(EncoderConfig(weights=weights, device="cpu"))
    assert not encoder.module.training
    assert not any(parameter.requires_grad for parameter in encoder.module.parameters())
    assert not encoder(clips(1, 3, 4, 32, 32)).requires_grad


def test_loading_draws_no_random_numbers(weights: str) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load_encoder(EncoderConfig(weights=weights, device="cpu"))
    assert torch.equal(torch.rand(4), expected)


def test_weights_file_may_change_after_loading(weights: str) -> None:
    encoder = load_encoder(EncoderConfig(weights=weights, device="cpu"))
    before = encoder(clips(1, 3, 4, 32, 32))
    with Path(weights).open("r+b") as file:
        file.write(bytes(Path(weights).stat().st_size))
    assert torch.equal(encoder(clips(1, 3, 4, 32, 32)), before)


def test_auto_on_a_cpu_computes_in_float32(weights: str) -> None:
    encoder = load_encoder(EncoderConfig(weights=weights, device="cpu"))
    assert {parameter.dtype for parameter in encoder.module.parameters()} == {torch.float32}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_close_and_gives_float32(weights: str, dtype: Any) -> None:
    full = load_encoder(EncoderConfig(weights=weights, device="cpu"))(clips(2, 3, 4, 32, 32))
    half = load_encoder(EncoderConfig(weights=weights, device="cpu", dtype=dtype))(clips(2, 3, 4, 32, 32))
    assert half.dtype == torch.float32
    assert 0 < float((half - full).norm() / full.norm()) < 2e-2


def test_a_checkpoint_of_the_wrong_size_is_refused_by_a_named_encoder(tmp_path: Path, model: VisionTransformer) -> None:
    path = tmp_path / "vitl16.pth.tar"
    torch.save({"target_encoder": {f"module.backbone.{k}": v for k, v in model.state_dict().items()}}, path)
    config = EncoderConfig(name="vjepa-vitl16-224", weights=str(path), device="cpu")
    assert encoder_spec(config).grid == (8, 14, 14)
    with pytest.raises(UserError, match=r"vitl16\.pth\.tar: missing parameters: blocks\.2\.norm1\.weight"):
        load_encoder(config)


def test_a_file_that_states_another_shape_is_refused_by_a_named_encoder(weights: str) -> None:
    config = EncoderConfig(name="vjepa-vith16-384", weights=weights)
    with pytest.raises(UserError, match=r"it states Shape\(dim=24, .* but vjepa-vith16-384 is"):
        encoder_spec(config)


def test_tiny_needs_a_file_that_states_its_shape(tmp_path: Path, model: VisionTransformer) -> None:
    path = tmp_path / "unstated.safetensors"
    safetensors.torch.save_file(model.state_dict(), path)
    with pytest.raises(UserError, match=r"needs a \.safetensors file that states its shape"):
        encoder_spec(EncoderConfig(weights=str(path)))


def test_missing_weights_are_named_before_anything_is_built(tmp_path: Path) -> None:
    config = EncoderConfig(name="vjepa-vith16-384", weights=str(tmp_path / "vith16-384.pth.tar"))
    for action in (encoder_spec, load_encoder):
        with pytest.raises(UserError, match=r"vith16-384\.pth\.tar: there is no such file"):
            action(config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "vjepa"}, "'vjepa' is not known. Use one of tiny, vjepa-vitl16-224, vjepa-vith16-224"),
        ({"name": "vjepa-vith16-384"}, "vjepa-vith16-384 has no `weights`"),
        ({"device": "gpu"}, "device 'gpu' is not known. Use one of auto, cpu, cuda"),
        ({"dtype": "half"}, "dtype 'half' is not known"),
        ({"frames": 0}, "encoder frames is 0: it has to be a whole number above 0"),
        ({"resolution": 224.0}, "encoder resolution is 224.0: it has to be a whole number"),
    ],
)
def test_configuration_refuses_nonsense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        EncoderConfig(**settings)


def test_configuration_file_may_not_hold_unknown_keys() -> None:
    pydantic = pytest.importorskip("pydantic")
    adapter = pydantic.TypeAdapter(EncoderConfig)
    assert adapter.validate_python({"device": "cpu"}) == EncoderConfig(device="cpu")
    with pytest.raises(pydantic.ValidationError, match="weight"):
        adapter.validate_python({"weight": "x"})
    with pytest.raises(pydantic.ValidationError, match="not known"):
        adapter.validate_python({"name": "vjepa"})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error_and_auto_goes_without(weights: str) -> None:
    assert load_encoder(EncoderConfig(weights=weights)).device == torch.device("cpu")
    with pytest.raises(UserError, match="torch finds no GPU here"):
        load_encoder(EncoderConfig(weights=weights, device="cuda"))


@pytest.mark.skipif(not TINY_WEIGHTS.exists(), reason="the embedded weights are not there yet")
def test_the_embedded_encoder_gives_finite_and_telling_tokens() -> None:
    encoder = load_encoder(EncoderConfig(device="cpu"))
    spec = encoder.spec
    tokens = encoder(clips(2, 3, spec.frames, spec.resolution, spec.resolution))
    assert tokens.shape == (2, *spec.grid, spec.dim)
    assert tokens.isfinite().all()
    assert float((tokens[0] - tokens[1]).norm() / tokens.norm()) > 0.01


@on_gpu
@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_gpu_computes_in_half_precision_by_default(weights: str, device: Any) -> None:
    encoder = load_encoder(EncoderConfig(weights=weights, device=device))
    assert encoder.device.type == "cuda"
    expected = load_encoder(EncoderConfig(weights=weights, device="cpu"))(clips(2, 3, 4, 32, 32))
    tokens = encoder(clips(2, 3, 4, 32, 32))
    assert tokens.device == encoder.device
    assert tokens.dtype == torch.float32
    assert 1e-6 < float((tokens.cpu() - expected).norm() / expected.norm()) < 2e-2
    assert torch.equal(tokens, encoder(clips(2, 3, 4, 32, 32).cuda()))


@on_gpu
def test_a_gpu_in_float32_gives_the_tokens_of_the_cpu(weights: str) -> None:
    expected = load_encoder(EncoderConfig(weights=weights, device="cpu"))(clips(2, 3, 4, 32, 32))
    encoder = load_encoder(EncoderConfig(weights=weights, device="cuda", dtype="float32"))
    assert float((encoder(clips(2, 3, 4, 32, 32)).cpu() - expected).norm() / expected.norm()) < 1e-5
