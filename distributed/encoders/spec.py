"""What the rest of the road needs to know of an encoder, without building it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

Channels = tuple[float, float, float]
_OPTIONAL = {"revision", "config_sha256"}


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder's name, its clip and token geometry, and the hash of its weights.

    `frames` and `tubelet` are in frames, `patch` and `resolution` in pixels, `dim` is the width of a
    token, `mean` and `std` belong to red, green, blue on the scale 0 to 1, `sha256` (hex) is that of the
    weights file. An encoder of single images has `frames` 1 and takes clips of any length.

    `revision` is the commit of a model of the Hugging Face hub and `config_sha256` that of its settings.
    """

    name: str
    frames: int
    tubelet: int
    patch: int
    resolution: int
    dim: int
    heads: int
    mean: Channels
    std: Channels
    sha256: str
    revision: str = ""
    config_sha256: str = ""

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens of a clip of `frames` along time, height and width."""
        return self.grid_of(self.frames)

    def grid_of(self, frames: int) -> tuple[int, int, int]:
        """Tokens of a clip of so many frames along time, height and width.

        Raises ValueError where the encoder does not take such clips.
        """
        if self.frames not in (1, frames):
            raise ValueError(f"clips have {frames} frames, and the encoder {self.name} takes {self.frames}")
        side = self.resolution // self.patch
        return (frames // self.tubelet, side, side)

    def at_size(self, frames: int | None, resolution: int | None) -> EncoderSpec:
        """The same encoder on clips of other sizes, for which it interpolates its positions; None keeps its own.

        Raises ValueError where they are not whole tubelets and patches.
        """
        sized = replace(self, frames=frames or self.frames, resolution=resolution or self.resolution)
        for name, part in (("frames", sized.tubelet), ("resolution", sized.patch)):
            if getattr(sized, name) % part:
                raise ValueError(f"encoder {name} is {getattr(sized, name)}: it has to be a multiple of {part}")
        return sized

    def to_json(self) -> dict[str, Any]:
        """A dict of plain JSON values, without what is empty; `from_json` reads it back."""
        values = asdict(self) | {"mean": list(self.mean), "std": list(self.std)}
        return {name: value for name, value in values.items() if value or name not in _OPTIONAL}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EncoderSpec:
        """The spec that `to_json` wrote; raises ValueError naming missing or unknown entries."""
        names = {field.name for field in fields(cls)}
        if differing := sorted((names ^ set(value)) - (names & _OPTIONAL)):
            raise ValueError(f"encoder spec with missing or unknown entries: {', '.join(differing)}")
        entries = dict(value) | {name: tuple(value[name]) for name in ("mean", "std")}
        return cls(**entries)
