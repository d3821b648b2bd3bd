"""From resized frames to normalised clips: the square crops that an encoder sees, and how many augmented passes.

torch alone.

The rules and their rounding are those of V-JEPA's video evaluation (Bardes et al., 2024, arXiv 2404.08471).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from distributed.augmentation import AugmentationConfig
from distributed.cropping import FaceConfig

PASS = "train-"  # what the name of an augmented pass begins with
NAMES = {1: ("centre",), 3: ("first", "middle", "last")}


@dataclass(frozen=True)
class ViewsConfig:
    """The views of a video: clean ones, which probes are scored on, and augmented passes to train on.

    `crops` is 1 (the centre) or 3 (along the long side); `train` counts the augmented passes, each of one view of
    every clip, and `augmentation` says what is done to them. Before anything else frames are cut: to a face of a
    table, or to the share `centre_crop` of both sides in the middle.

    Raises ValueError for a number that is not possible.
    """

    crops: int = 1
    train: int = 0
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    centre_crop: float = 1.0
    face: FaceConfig | None = None

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if self.crops not in NAMES:
            raise ValueError(f"crops is {self.crops!r}. Set it to 1 (centre) or 3 (first, middle, last)")
        if self.train < 0:
            raise ValueError(f"train is {self.train}; it counts augmented passes: 0 for none, or more")
        if not 0 < self.centre_crop <= 1:
            raise ValueError(f"centre_crop is {self.centre_crop}; it is a share of the frame, above 0 and at most 1")
        if self.face is not None and self.centre_crop != 1:
            raise ValueError("face and centre_crop both cut the frame; set one of them")
        if self.face is not None and self.crops != 1:
            raise ValueError(f"crops is {self.crops}, and crops along a face's square are all the same; set crops: 1")

    @property
    def names(self) -> tuple[str, ...]:
        """The clean views' names, in the order of `evaluation_clips`."""
        return NAMES[self.crops]

    @property
    def pass_names(self) -> tuple[str, ...]:
        """The augmented passes' names; they are numbered from 1."""
        return tuple(f"{PASS}{number}" for number in range(1, self.train + 1))

    def in_force(self) -> dict[str, Any]:
        """The settings that decide something, as a store's header keeps them; none of passes that there are not."""
        passes = {"train": self.train, "augmentation": asdict(self.augmentation)} if self.train else {}
        found: dict[str, Any] = {"crops": self.crops, **passes}
        if self.centre_crop != 1:
            found["centre_crop"] = self.centre_crop
        if self.face is not None:
            found["face"] = {name: value for name, value in asdict(self.face).items() if name != "table"}
        return found

    @classmethod
    def clean_of(cls, settings: Mapping[str, Any]) -> ViewsConfig:
        """The clean views of what `in_force` has given: all that scoring a video needs, but for a table of faces."""
        kept = {name: value for name, value in settings.items() if name not in ("train", "augmentation", "face")}
        if face := settings.get("face"):
            known = {name: value for name, value in face.items() if name != "boxes_sha256"}
            kept["face"] = FaceConfig(table="", **known)
        return cls(**kept)


def short_side(config: ViewsConfig, resolution: int) -> int:
    """Pixels that a frame's short side is resized to, for crops of `resolution` pixels."""
    # One crop leaves the margin of ImageNet evaluation (224 of 256); three cover the picture as it is.
    return int(resolution * 256 / 224) if config.crops == 1 else resolution


def crop_corners(height: int, width: int, config: ViewsConfig, resolution: int) -> list[tuple[int, int]]:
    """(top, left) of each view's square of `resolution` pixels in a resized frame, in order of the names."""
    short = short_side(config, resolution)
    assert min(height, width) == short, (
        f"frames of {height}x{width} pixels: the short side has to be resized to {short} first"
    )
    if config.crops == 1:
        # round() takes halves to the even neighbour, as the reference does.
        return [(round((height - resolution) / 2), round((width - resolution) / 2))]
    # An odd margin leaves the last row or column out of every view.
    step = (max(height, width) - resolution) // 2
    return [(i * step, 0) if height > width else (0, i * step) for i in range(config.crops)]


def evaluation_clips(
    frames: Tensor,
    clips: Tensor,
    config: ViewsConfig,
    *,
    resolution: int,
    mean: Sequence[float],
    std: Sequence[float],
) -> Tensor:
    """Normalised clips float32[V, S, 3, T, R, R] of the frames' device: V views of S clips, R = `resolution`.

    `frames` is uint8[F, H, W, 3], resized; `clips` int64[S, T] holds numbers of these F frames; `mean` and
    `std` belong to the three channels on the scale 0 to 1.
    """
    assert frames.dtype == torch.uint8 and frames.dim() == 4 and frames.shape[3] == 3, (
        f"frames are uint8[F, H, W, 3], not {frames.dtype}{list(frames.shape)}"
    )
    S, T = clips.shape
    clips = clips.to(frames.device)
    corners = crop_corners(frames.shape[1], frames.shape[2], config, resolution)
    shape = (len(corners), S, 3, T, resolution, resolution)
    out = torch.empty(shape, dtype=torch.float32, device=frames.device)
    for view, (top, left) in enumerate(corners):
        square = frames[:, top : top + resolution, left : left + resolution]
        # Normalised before they are gathered: clips share frames, so there are fewer of them.
        pixels = _normalised(square, mean, std)
        for segment in range(S):
            torch.index_select(pixels, 1, clips[segment], out=out[view, segment])
    return out


def _normalised(frames: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8[F, R, R, 3] -> float32[3, F, R, R]."""
    pixels = frames.permute(3, 0, 1, 2).to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    channels = (3, 1, 1, 1)
    pixels -= torch.tensor(mean, dtype=torch.float32, device=frames.device).reshape(channels)
    pixels /= torch.tensor(std, dtype=torch.float32, device=frames.device).reshape(channels)
    return pixels
