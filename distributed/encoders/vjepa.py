"""The video vision transformer of V-JEPA (Bardes et al., 2024, arXiv 2404.08471), for evaluation.

Parameter names are those of the published checkpoints, so that they load strictly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
NORM_EPS = 1e-6
INIT_STD = 0.02


@dataclass(frozen=True)
class Shape:
    """What determines every parameter's shape, and the clip that the position table is made for.

    `dim` is the width of a token, `resolution` and `patch` are in pixels, `frames` and `tubelet` in frames.
    Raises ValueError where the numbers do not fit together.
    """

    dim: int
    depth: int
    heads: int
    resolution: int
    frames: int = 16
    patch: int = 16
    tubelet: int = 2
    mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not (whole or (name == "mlp_ratio" and isinstance(value, float))) or not value > 0:
                kind = "number" if name == "mlp_ratio" else "whole number"
                raise ValueError(f"{name} is {value!r}: it has to be a {kind} above 0")
        for whole_name, part_name in (("dim", "heads"), ("resolution", "patch"), ("frames", "tubelet")):
            whole_value, part = getattr(self, whole_name), getattr(self, part_name)
            if whole_value % part:
                raise ValueError(f"{whole_name} ({whole_value}) is not a multiple of {part_name} ({part})")

    @property
    def flops(self) -> int:
        """Floating-point operations of one clip in matrix products; a multiplication with its addition counts as two.

        Per token and block 24 D^2 in the linear layers at mlp ratio 4, and 4 N D in the attention over N tokens.
        """
        tokens = (self.frames // self.tubelet) * (self.resolution // self.patch) ** 2
        linear = self.dim * (4 * self.dim + 2 * int(self.dim * self.mlp_ratio))
        embedding = 3 * self.tubelet * self.patch**2 * self.dim
        return 2 * tokens * (embedding + self.depth * (linear + 2 * tokens * self.dim))

    def build(self) -> VisionTransformer:
        """A transformer of this shape with fresh weights."""
        return VisionTransformer(**asdict(self))


SHAPES: Mapping[str, Shape] = {
    "vjepa-vitl16-224": Shape(dim=1024, depth=24, heads=16, resolution=224),
    "vjepa-vith16-224": Shape(dim=1280, depth=32, heads=16, resolution=224),
    "vjepa-vith16-384": Shape(dim=1280, depth=32, heads=16, resolution=384),
}


def _axis_table(length: int, width: int) -> Tensor:
    """float64[length, width]: sines then cosines of the position, at wavelengths 2π to 10000·2π."""
    steps = torch.arange(width // 2, dtype=torch.float64, device="cpu") / (width / 2)
    positions = torch.arange(length, dtype=torch.float64, device="cpu")
    angles = positions[:, None] / 10000.0**steps
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def position_table(dim: int, grid: tuple[int, int, int]) -> Tensor:
    """float32[1, t*h*w, dim] on the CPU: the fixed 3-D sine-cosine table for `grid` = (t, h, w).

    Time, row and column get equal shares of the width (V-JEPA's `uniform_power`), each rounded up to an
    even number; what is then too wide is cut off at the end, so the columns' share may be the smaller.
    """
    share = 2 * math.ceil(dim / 6)
    t, h, w = grid
    time = _axis_table(t, share)[:, None, None].expand(t, h, w, share)
    row = _axis_table(h, share)[None, :, None].expand(t, h, w, share)
    column = _axis_table(w, share)[None, None, :].expand(t, h, w, share)
    return torch.cat([time, row, column], dim=-1)[..., :dim].reshape(1, t * h * w, dim).float()


class PatchEmbed(nn.Module):
    """Cuts clips into tubelets and projects each to a token."""

    def __init__(self, dim: int, patch: int, tubelet: int) -> None:
        super().__init__()
        kernel = (tubelet, patch, patch)
        self.proj = nn.Conv3d(3, dim, kernel_size=kernel, stride=kernel)

    def forward(self, clips: Tensor) -> Tensor:
        """float[B, 3, T, H, W] -> float[B, t, h, w, D]."""
        # With stride = kernel the convolution is a matrix product over whole tubelets. Done as one, it
        # is faster on CPUs and stays out of cuDNN, which would round float32 to TF32 by default.
        B, C, T, H, W = clips.shape
        f, p, q = self.proj.weight.shape[2:]
        assert T % f == 0 and H % p == 0 and W % q == 0, f"clips {tuple(clips.shape)}: no whole tubelets"
        x = clips.reshape(B, C, T // f, f, H // p, p, W // q, q)
        x = x.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4)
        return F.linear(x, self.proj.weight.flatten(1), self.proj.bias)


class Attention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """float[B, N, D] -> float[B, N, D] in the dtype of the projection."""
        B, N, D = x.shape
        qkv = self.qkv(x.to(self.qkv.weight.dtype)).reshape(B, N, 3, self.heads, D // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each B, heads, N, D / heads
        out: Tensor = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """float[B, N, D] -> float[B, N, D] in the dtype of the linear layers."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x.to(self.fc1.weight.dtype))))
        return out


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = Mlp(dim, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """float32[B, N, D] -> float32[B, N, D]; the sums stay in float32 whatever the layers compute in."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class VisionTransformer(nn.Module):
    """The encoder: clips to tokens, one for each tubelet of `tubelet` x `patch` x `patch` pixels.

    `frames` and `resolution` are those of the position table; other clip sizes interpolate it.
    """

    pos_embed: Tensor

    def __init__(
        self,
        dim: int,
        depth: int,
        heads: int,
        *,
        frames: int = 16,
        resolution: int,
        patch: int = 16,
        tubelet: int = 2,
        mlp_ratio: float = 4,
    ) -> None:
        super().__init__()
        self.shape = Shape(dim, depth, heads, resolution, frames, patch, tubelet, mlp_ratio)
        self.grid = (frames // tubelet, resolution // patch, resolution // patch)
        self.patch_embed = PatchEmbed(dim, patch, tubelet)
        # A buffer: the table is fixed, but the checkpoints carry it.
        self.register_buffer("pos_embed", position_table(dim, self.grid))
        self.blocks = nn.ModuleList(Block(dim, heads, int(dim * mlp_ratio)) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        if not self.norm.weight.is_meta:  # without values there is nothing to draw, and torch would load sympy for it
            self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv3d):
                assert module.bias is not None
                nn.init.trunc_normal_(module.weight, std=INIT_STD)
                nn.init.zeros_(module.bias)
        # Deeper blocks start smaller, so that the sum over blocks does not grow with the depth.
        with torch.no_grad():
            for number, block in enumerate(self._blocks(), start=1):
                block.attn.proj.weight.div_(math.sqrt(2.0 * number))
                block.mlp.fc2.weight.div_(math.sqrt(2.0 * number))

    def _blocks(self) -> Iterator[Block]:
        return (cast(Block, block) for block in self.blocks)

    def compute_in(self, dtype: torch.dtype) -> VisionTransformer:
        """Keep the blocks' matrices in `dtype` and compute their products in it.

        Norms, residual sums, position table and patch projection stay float32: they cost next to nothing,
        and the tokens come out closer to the float32 ones than when everything is rounded.
        """
        for block in self._blocks():
            block.attn.to(dtype)
            block.mlp.to(dtype)
        return self

    def positions(self, grid: tuple[int, int, int]) -> Tensor:
        """float32[1, t*h*w, D]: the position table, interpolated where `grid` is not its own."""
        if grid == self.grid:
            return self.pos_embed
        table = self.pos_embed.reshape(*self.grid, -1).permute(3, 0, 1, 2)[None]
        table = F.interpolate(table, size=grid, mode="trilinear", align_corners=False)
        return table.permute(0, 2, 3, 4, 1).flatten(1, 3)

    def forward(self, clips: Tensor) -> Tensor:
        """Tokens float32[B, t, h, w, D] of normalised clips float[B, 3, T, H, W]."""
        x = self.patch_embed(clips.to(self.patch_embed.proj.weight.dtype))
        grid = (x.shape[1], x.shape[2], x.shape[3])
        x = x.flatten(1, 3) + self.positions(grid)
        for block in self.blocks:
            x = block(x)
        tokens: Tensor = self.norm(x).reshape(len(clips), *grid, -1)
        return tokens


def shape_from_json(value: Mapping[str, Any]) -> Shape:
    """The shape written by `asdict`; raises ValueError naming unknown, missing or senseless entries."""
    try:
        return Shape(**value)
    except TypeError as error:
        raise ValueError(str(error).removeprefix("Shape.__init__() ")) from error
