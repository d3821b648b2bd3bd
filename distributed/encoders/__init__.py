"""Frozen encoders behind one interface: normalised clips in, a grid of tokens out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from distributed.encoders.huggingface import folder_spec, load_tokens, model_flops
from distributed.encoders.model_folder import PREFIX, ModelFolder, check_name
from distributed.encoders.spec import EncoderSpec
from distributed.encoders.vjepa import IMAGENET_MEAN, IMAGENET_STD, SHAPES, Shape, VisionTransformer
from distributed.encoders.weights import check_state, file_sha256, read_shape, read_state, refusal
from distributed.errors import UserError

__all__ = ["Encoder", "EncoderConfig", "EncoderSpec", "check_weights", "encoder_spec", "flops_per_clip", "load_encoder"]

DeviceName = Literal["auto", "cpu", "cuda"]
DtypeName = Literal["auto", "float32", "bfloat16", "float16"]

TINY = "tiny"
TINY_WEIGHTS = Path(__file__).with_name("tiny.safetensors")
NAMES = (TINY, *SHAPES)


@dataclass(frozen=True)
class EncoderConfig:
    """Which encoder, from which file, where and in which precision.

    `weights` is a path on this machine: a checkpoint of V-JEPA (`.pth.tar`, `.pt`) or a `.safetensors` file.
    Only `tiny` has its own. `huggingface:FOLDER` and `huggingface:NAME` hold their weights themselves, the latter
    in the cache of the hub at `revision` (a commit, branch or tag; `main` without it). `device` auto is the GPU
    where there is one; `dtype` auto is float32 on a CPU and on a GPU bfloat16 or, where it has no such units,
    float16. `frames` and `resolution` are those of the encoder unless they are set, and then its positions are
    interpolated. Raises UserError.
    """

    name: str = TINY
    weights: str | None = None
    device: DeviceName = "auto"
    dtype: DtypeName = "auto"
    revision: str | None = None
    frames: int | None = None
    resolution: int | None = None

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        for key, value, known in (
            ("name", NAMES[0] if self.is_huggingface else self.name, NAMES),
            ("device", self.device, get_args(DeviceName)),
            ("dtype", self.dtype, get_args(DtypeName)),
        ):
            if value not in known:
                more = f", {PREFIX}FOLDER, {PREFIX}NAME_ON_THE_HUB" if key == "name" else ""
                raise UserError(f"encoder {key} {value!r} is not known. Use one of {', '.join(known)}{more}")
        for key, size in (("frames", self.frames), ("resolution", self.resolution)):
            if size is not None and (type(size) is not int or size < 1):
                raise UserError(f"encoder {key} is {size!r}: it has to be a whole number above 0, or left out")
        if self.is_huggingface:
            check_name(self.name, self.revision)
            if self.weights is not None:
                raise UserError(f"encoder {self.name!r} holds its weights itself; remove `weights`")
            return
        if self.revision is not None:
            raise UserError(f"encoder {self.name}: `revision` pins a model of the hub; remove it")
        if self.weights is None and self.name != TINY:
            raise UserError(
                f"encoder {self.name} has no `weights`. Set `weights` to its published checkpoint "
                "(.pth.tar) or a .safetensors file of it"
            )

    @property
    def is_huggingface(self) -> bool:
        """Whether the encoder is a model folder of the transformers library."""
        return self.name.startswith(PREFIX)

    def at(self, place: str) -> EncoderConfig:
        """The same encoder with its weights elsewhere: a file, or a folder of the transformers library."""
        if self.is_huggingface:
            return replace(self, name=f"{PREFIX}{Path(place).expanduser().absolute()}", revision=None)
        return replace(self, weights=place)


class Encoder:
    """A frozen encoder on its device: calling it turns clips into tokens."""

    def __init__(self, spec: EncoderSpec, module: nn.Module, device: torch.device) -> None:
        self.spec = spec
        self.module = module
        self.device = device

    def __call__(self, clips: Tensor) -> Tensor:
        """Tokens float32[B, t, h, w, D] on the encoder's device, whatever dtype it computes in.

        `clips` is float[B, 3, T, H, W], normalised with the spec's mean and std, on any device.
        """
        with torch.inference_mode():
            tokens: Tensor = self.module(clips.to(self.device, non_blocking=True))
        return tokens


def encoder_spec(config: EncoderConfig) -> EncoderSpec:
    """The spec of the encoder that `load_encoder` would give; hashes the weights and builds nothing.

    Raises UserError for a missing or unreadable file.
    """
    if config.is_huggingface:
        return folder_spec(_folder(config), config.frames, config.resolution)
    path = _weights_path(config)
    return _spec(config, _shape(config, path), path)


def flops_per_clip(config: EncoderConfig, frames: int) -> int:
    """Floating-point operations of one clip of `frames` frames, from the encoder's shape; holds no weights.

    Raises UserError as `encoder_spec`.
    """
    if config.is_huggingface:
        return model_flops(_folder(config), frames, encoder_spec(config).resolution)
    shape = _shape(config, _weights_path(config))
    return replace(shape, frames=frames, resolution=config.resolution or shape.resolution).flops


def load_encoder(config: EncoderConfig) -> Encoder:
    """The encoder in evaluation mode on its device, without gradients.

    Raises UserError for weights that do not fit exactly, and when a GPU is asked for and there is none.
    """
    device = _device(config.device)
    if config.is_huggingface:
        spec = encoder_spec(config)
        tokens = load_tokens(_folder(config), _dtype(config.dtype, device), spec.resolution)
        return Encoder(spec, tokens.to(device), device)
    path = _weights_path(config)
    shape = _shape(config, path)
    model, state = _checked(shape, path)
    model = model.compute_in(_dtype(config.dtype, device)).to_empty(device=device).requires_grad_(False).eval()
    model.load_state_dict(state, strict=True)
    return Encoder(_spec(config, shape, path), model, device)


def check_weights(config: EncoderConfig) -> None:
    """Raise UserError where `load_encoder` would for the weights' sake, before a device is taken."""
    if config.is_huggingface:
        load_tokens(_folder(config), torch.float32, encoder_spec(config).resolution)
        return
    path = _weights_path(config)
    _checked(_shape(config, path), path)


def _checked(shape: Shape, path: Path) -> tuple[VisionTransformer, dict[str, Tensor]]:
    """A model without values, and the state that fits it."""
    state = read_state(path)
    # On "meta" nothing is drawn or held in memory, and the weights reach the device in their final dtype.
    with torch.device("meta"):
        model = shape.build()
    check_state(model, state, path)
    return model, state


def _folder(config: EncoderConfig) -> ModelFolder:
    return ModelFolder.find(config.name, config.revision)


def _weights_path(config: EncoderConfig) -> Path:
    return TINY_WEIGHTS if config.weights is None else Path(config.weights).expanduser().absolute()


def _shape(config: EncoderConfig, path: Path) -> Shape:
    stated = read_shape(path)
    if config.name == TINY:
        if stated is None:
            fix = "Set the encoder's `name` to what these weights are, or leave `weights` out"
            raise refusal(path, f"encoder {TINY} needs a .safetensors file that states its shape", fix)
        return stated
    named = SHAPES[config.name]
    if stated not in (None, named):
        fix = "Use the weights that belong to the encoder named"
        raise refusal(path, f"it states {stated}, but {config.name} is {named}", fix)
    return named


def _spec(config: EncoderConfig, shape: Shape, path: Path) -> EncoderSpec:
    spec = EncoderSpec(
        name=config.name,
        frames=shape.frames,
        tubelet=shape.tubelet,
        patch=shape.patch,
        resolution=shape.resolution,
        dim=shape.dim,
        heads=shape.heads,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        sha256=file_sha256(path),
    )
    try:
        return spec.at_size(config.frames, config.resolution)
    except ValueError as error:
        raise UserError(str(error)) from error


def _device(name: DeviceName) -> torch.device:
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError(
            "encoder device 'cuda': torch finds no GPU here. Set the encoder's `device` to auto or cpu, "
            "or install a build of torch for this machine's GPU and driver"
        )
    if name == "cpu" or not available:
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def _dtype(name: DtypeName, device: torch.device) -> torch.dtype:
    named = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name != "auto":
        return named[name]
    if device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
