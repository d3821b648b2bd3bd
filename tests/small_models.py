"""Small models of the transformers library with random weights, saved as folders like those on the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
PROCESSOR: dict[str, Any] = {
    "image_processor_type": "AnImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 36},
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": MEAN,
    "image_std": STD,
}
# Of each family: the class, its configuration's class, and what differs from the sizes below.
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "vjepa2": ("VJEPA2Model", "VJEPA2Config", {"crop_size": 32, "frames_per_clip": 8}),
    "videomae": ("VideoMAEModel", "VideoMAEConfig", {"image_size": 32, "num_frames": 8, "use_mean_pooling": False}),
    "videomae-pretraining": ("VideoMAEForPreTraining", "VideoMAEConfig", {"image_size": 32, "num_frames": 8}),
    "timesformer": ("TimesformerModel", "TimesformerConfig", {"image_size": 32, "num_frames": 4}),
    "timesformer-space": (
        "TimesformerModel",
        "TimesformerConfig",
        {"image_size": 32, "num_frames": 4, "attention_type": "space_only"},
    ),
    "vivit": ("VivitForVideoClassification", "VivitConfig", {"image_size": 32, "num_frames": 8}),
    "clip": ("CLIPModel", "CLIPConfig", {"image_size": 32, "patch_size": 16}),
    "clip-vision": ("CLIPVisionModel", "CLIPVisionConfig", {"image_size": 32, "patch_size": 16}),
    "dinov2": ("Dinov2Model", "Dinov2Config", {"image_size": 56, "patch_size": 14}),
    "dinov2-registers": (
        "Dinov2WithRegistersModel",
        "Dinov2WithRegistersConfig",
        {"image_size": 42, "patch_size": 14, "num_register_tokens": 3},
    ),
    "siglip": ("SiglipVisionModel", "SiglipVisionConfig", {"image_size": 32, "patch_size": 16}),
}
VIDEO = ("vjepa2", "videomae", "videomae-pretraining", "timesformer", "timesformer-space", "vivit")
WIDTH = 32


def small_config(family: str, layers: int = 2) -> Any:
    import transformers

    name, differing = FAMILIES[family][1:]
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": layers, "num_attention_heads": 2, **differing}
    if not family.startswith(("vjepa2", "dinov2")):
        sizes["intermediate_size"] = 48
    if family == "vjepa2":
        sizes |= {"pred_hidden_size": 24, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1}
    if family == "videomae-pretraining":
        sizes |= {"decoder_hidden_size": 24, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    if family == "clip":
        text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 40}
        return transformers.CLIPConfig(vision_config=sizes, text_config=text, projection_dim=8)
    return getattr(transformers, name)(**sizes)


def small_model(family: str, layers: int = 2) -> Any:
    """A model whose every weight matters: none is 0 or 1 throughout, as biases and norms are at first."""
    import transformers

    torch.manual_seed(0)
    model = getattr(transformers, FAMILIES[family][0])(small_config(family, layers)).eval().requires_grad_(False)
    for weight in model.parameters():
        weight += 0.1 * torch.randn(weight.shape)
    return model


def write_model(folder: Path, family: str, *, layers: int = 2, **processor: Any) -> Path:
    """The folder of a small model; `processor` replaces entries of the image processor's settings."""
    small_model(family, layers).save_pretrained(folder)
    crop = {"crop_size": {"height": 28, "width": 28}} if family.startswith("dinov2") else {}
    (folder / "preprocessor_config.json").write_text(json.dumps({**PROCESSOR, **crop, **processor}))
    return folder
