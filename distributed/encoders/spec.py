"""What the rest of the road needs to know of an encoder, without building it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

Channels = tuple[float, float, float]


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder's name, its clip and token geometry, and the hash of its weights.

    `frames` and `tubelet` are in frames, `patch` and `resolution` in pixels, `dim` is the width of a
    token, `mean` and `std` belong to red, green, blue on the scale 0 to 1, `sha256` (hex) is that of the
    weights file.
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

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens of a clip along time, height and width."""
        side = self.resolution // self.patch
        return (self.frames // self.tubelet, side, side)

    def to_json(self) -> dict[str, Any]:
        """A dict of plain JSON values; `from_json` reads it back."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EncoderSpec:
        """The spec that `to_json` wrote; raises ValueError naming missing or unknown entries."""
        names = {field.name for field in fields(cls)}
        if differing := sorted(names ^ set(value)):
            raise ValueError(f"encoder spec with missing or unknown entries: {', '.join(differing)}")
        entries = dict(value) | {name: tuple(value[name]) for name in ("mean", "std")}
        return cls(**entries)
