"""Encoders of the transformers library: V-JEPA 2, VideoMAE, TimeSformer, ViViT, and image models frame by frame.

All that a clip has to be comes from the model's own files. The only file that imports transformers, and late: a
machine with torch alone runs V-JEPA without it. Code from a model's folder is never run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import safetensors
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from distributed.encoders.model_folder import CONFIG, ModelFolder
from distributed.encoders.processor import read_pixels
from distributed.encoders.spec import EncoderSpec
from distributed.encoders.weights import check_finite, listing, refusal
from distributed.errors import UserError

# The classes that a config.json may name, and where the encoder lies in each: the whole is loaded strictly, heads and
# text towers included, so that no key is ever excused, and the encoder alone is kept.
ENCODERS: Mapping[str, str] = {
    "VJEPA2Model": "encoder",
    "VJEPA2ForVideoClassification": "vjepa2.encoder",
    "VideoMAEModel": "",
    "VideoMAEForPreTraining": "videomae",
    "VideoMAEForVideoClassification": "videomae",
    "TimesformerModel": "",
    "TimesformerForVideoClassification": "timesformer",
    "VivitModel": "",
    "VivitForVideoClassification": "vivit",
    "CLIPModel": "vision_model",
    "CLIPVisionModel": "",
    "CLIPVisionModelWithProjection": "vision_model",
    "CLIPForImageClassification": "vision_model",
    "Dinov2Model": "",
    "Dinov2ForImageClassification": "dinov2",
    "Dinov2WithRegistersModel": "",
    "Dinov2WithRegistersForImageClassification": "dinov2_with_registers",
    "SiglipModel": "vision_model",
    "SiglipVisionModel": "",
    "SiglipForImageClassification": "vision_model",
}
VIDEO_TYPES = ("vjepa2", "videomae", "timesformer", "vivit")
# Their positions are rotary or interpolated in every forward pass, so that the resolution can be chosen.
ANY_RESOLUTION = ("vjepa2", "dinov2", "dinov2_with_registers")
ANY_FRAMES = ("vjepa2",)


@dataclass(frozen=True)
class Layout:
    """How a model takes clips and gives tokens.

    An image model has `frames` and `tubelet` 1. `leading` tokens stand before those of the patches (CLS, registers).
    `patches_first` is the order h, w, t instead of t, h, w.
    """

    image_size: int
    frames: int
    tubelet: int
    patch: int
    dim: int
    heads: int
    video: bool
    leading: int
    patches_first: bool


class TokenGrid(nn.Module):
    """A model of the library that gives a grid of tokens; tokens that stand for no place are left out.

    A CLS or register token has no time, row or column: a grid with one could not be pooled or laid back onto frames.
    """

    def __init__(self, model: nn.Module, layout: Layout, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self.layout = layout
        self.dtype = dtype

    def forward(self, clips: Tensor) -> Tensor:
        """Tokens float32[B, t, h, w, D] of normalised clips float[B, 3, T, H, W]."""
        B, _, T, H, W = clips.shape
        layout = self.layout
        pixels = clips.float().transpose(1, 2)
        if not layout.video:
            pixels = pixels.flatten(0, 1)
        # Products alone are rounded: weights, norms and residual sums stay float32, as in V-JEPA here.
        half = self.dtype != torch.float32
        with torch.autocast(clips.device.type, self.dtype) if half else contextlib.nullcontext():
            hidden: Tensor = self.model(pixels).last_hidden_state[:, layout.leading :].float()
        t, h, w = T // layout.tubelet, H // layout.patch, W // layout.patch
        if layout.patches_first:
            return hidden.reshape(B, h, w, t, layout.dim).permute(0, 3, 1, 2, 4).contiguous()
        return hidden.reshape(B, t, h, w, layout.dim)


def folder_spec(folder: ModelFolder, frames: int | None = None, resolution: int | None = None) -> EncoderSpec:
    """What the model's files say of it; reads no weights but for their hash. `frames` and `resolution` as in `at_size`.

    Raises:
        UserError: a file is missing, or says something that does not fit or is not known here, or the model takes
            clips of no other size.
    """
    layout, pixels = _layout(folder), read_pixels(*folder.processor())
    kind = folder.config()["model_type"]
    if pixels.resolution != layout.image_size and kind not in ANY_RESOLUTION:
        raise refusal(
            folder.processor()[0],
            f"it asks for {pixels.resolution} pixels, and the positions of {CONFIG} are for {layout.image_size}",
            "Use the settings that were published with the model",
        )
    for key, value, able in (("frames", frames, ANY_FRAMES), ("resolution", resolution, ANY_RESOLUTION)):
        if value is not None and kind not in able:
            raise UserError(f"encoder {folder.label}: a {kind} takes its own `{key}` alone; remove encoder.{key}")
    spec = EncoderSpec(
        name=folder.label,
        frames=layout.frames,
        tubelet=layout.tubelet,
        patch=layout.patch,
        resolution=pixels.resolution,
        dim=layout.dim,
        heads=layout.heads,
        mean=pixels.mean,
        std=pixels.std,
        sha256=folder.weights_sha256(),
        revision=folder.revision,
        config_sha256=folder.config_sha256(),
    )
    try:
        return spec.at_size(frames, resolution)
    except ValueError as error:
        raise UserError(str(error)) from error


def load_tokens(folder: ModelFolder, dtype: torch.dtype, resolution: int) -> TokenGrid:
    """The folder's encoder with its weights, on the CPU in float32; `dtype` is what products are computed in.

    It takes clips of `resolution` pixels, that of its spec.

    Raises:
        UserError: a weight is missing, not known, of another shape or not finite; nothing stays at random.
    """
    layout, architecture = _layout(folder), _architecture(folder)
    folder.weights()
    # V-JEPA 2 tells rows from columns by the resolution of its configuration, not by that of the clip.
    sizes = {"crop_size": resolution} if folder.config()["model_type"] == "vjepa2" else {}
    try:
        with _quiet():
            model, info = getattr(_transformers(), architecture).from_pretrained(
                folder.path,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # they are listed, and refused below with all the others
                output_loading_info=True,
                dtype=torch.float32,
                **sizes,
            )
    except (OSError, ValueError, RuntimeError, ImportError, safetensors.SafetensorError) as error:
        fix = "Use the files of one model as published, or a newer transformers"
        raise refusal(folder.path, f"transformers cannot load it ({error})", fix) from error
    _check_loaded(folder, info)
    check_finite(model.state_dict(), folder.path)
    encoder = model.get_submodule(ENCODERS[architecture])
    return TokenGrid(encoder, layout, dtype).eval().requires_grad_(False)


def model_flops(folder: ModelFolder, frames: int, resolution: int) -> int:
    """Floating-point operations of one clip in matrix products, counted by torch on tensors without values.

    A multiplication with its addition counts as two. Raises UserError as `folder_spec`.
    """
    layout, architecture = _layout(folder), _architecture(folder)
    with _quiet(), torch.device("meta"):
        config = _transformers().AutoConfig.from_pretrained(folder.path, local_files_only=True, trust_remote_code=False)
        model = getattr(_transformers(), architecture)(config).get_submodule(ENCODERS[architecture])
        with FlopCounterMode(display=False) as counter:
            TokenGrid(model.eval(), layout, torch.float32)(torch.empty(1, 3, frames, resolution, resolution))
    return int(counter.get_total_flops())


def _check_loaded(folder: ModelFolder, info: Mapping[str, Any]) -> None:
    wrong = sorted(
        f"{name} is {list(there)} and has to be {list(here)}" for name, there, here in info["mismatched_keys"]
    )
    problems = [
        listing("missing parameters", sorted(info["missing_keys"])),
        listing("unexpected parameters", sorted(info["unexpected_keys"])),
        listing("wrong shapes", wrong),
        listing("errors", info["error_msgs"]),
    ]
    if found := [problem for problem in problems if problem]:
        raise refusal(folder.path, "; ".join(found), f"Use weights and a {CONFIG} that belong together")


def _architecture(folder: ModelFolder) -> str:
    named = folder.config().get("architectures")
    if not isinstance(named, list) or len(named) != 1 or named[0] not in ENCODERS:
        known = ", ".join(ENCODERS)
        raise refusal(folder.path / CONFIG, f"`architectures` is {named!r}", f"These are known here: {known}")
    return str(named[0])


def _layout(folder: ModelFolder) -> Layout:
    path = folder.path / CONFIG
    architecture, values = _architecture(folder), folder.config()
    if not isinstance(values.get("model_type"), str):
        raise refusal(path, f"`model_type` is {values.get('model_type')!r}", "Use the file as published")
    if values.get("quantization_config"):
        raise refusal(path, "these weights are quantized", "Use the model's weights as they were trained")
    from huggingface_hub.errors import StrictDataclassError

    kind = values["model_type"]
    try:
        with _quiet():
            config = _transformers().AutoConfig.from_pretrained(
                folder.path, local_files_only=True, trust_remote_code=False
            )
    except (OSError, ValueError, TypeError, AttributeError, KeyError, StrictDataclassError) as error:
        raise refusal(path, f"its settings are wrong ({error})", "Use the file as published") from error
    vision = getattr(config, "vision_config", config)
    tubelet, patch = 1, getattr(vision, "patch_size", None)
    if kind == "vivit":
        tubelet, *patch = config.tubelet_size
    elif kind in VIDEO_TYPES:
        tubelet = getattr(config, "tubelet_size", 1)
    image_size = config.crop_size if kind == "vjepa2" else vision.image_size
    frames = config.frames_per_clip if kind == "vjepa2" else getattr(config, "num_frames", 1)
    return Layout(
        image_size=_square(folder, "image_size", image_size),
        frames=frames,
        tubelet=tubelet,
        patch=_square(folder, "patch_size", patch),
        dim=vision.hidden_size,
        heads=vision.num_attention_heads,
        video=kind in VIDEO_TYPES,
        leading=_leading(architecture, vision),
        patches_first=kind == "timesformer" and config.attention_type != "space_only",
    )


def _leading(architecture: str, config: Any) -> int:
    if architecture.startswith(("VJEPA2", "VideoMAE", "Siglip")):
        return 0
    return 1 + int(getattr(config, "num_register_tokens", 0))


def _square(folder: ModelFolder, key: str, value: Any) -> int:
    sides: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    if len(set(sides)) != 1 or type(sides[0]) is not int or sides[0] < 1:
        raise refusal(folder.path / CONFIG, f"{key} is {value!r}", "Only square pictures and patches are known here")
    return int(sides[0])


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UserError(
            f"an encoder huggingface:... needs the transformers library ({error}); pip install transformers"
        ) from error
    return transformers


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's progress bars and reports: what is wrong with weights is an error here."""
    logging = _transformers().utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
