"""The vision transformer against a plain, slow restatement of it, and its position table."""

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from distributed.encoders.vjepa import SHAPES, Shape, VisionTransformer, position_table, shape_from_json

SMALL = Shape(dim=48, depth=3, heads=3, resolution=64)


def random_model(shape: Shape = SMALL, seed: int = 0) -> VisionTransformer:
    """A model whose every weight matters: biases and norms far from 0 and 1, attention far from uniform."""
    model = shape.build().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        scale = 0.2 if weight.dim() == 1 else 2 / math.sqrt(weight[0].numel())
        weight.copy_(noise * scale + (1 if "norm" in name and name.endswith("weight") else 0))
    return model


def random_clips(*size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(1))


# The restatement: float64, loops, explicit softmax, nothing from the module but its weights.


def plain_table_entry(dim: int, position: tuple[int, int, int], channel: int) -> float:
    share = math.ceil(dim / 6) * 2
    axis, within = divmod(channel, share)
    half = share // 2
    angle = position[axis] * 10000 ** (-(within % half) / half)
    return math.sin(angle) if within < half else math.cos(angle)


def plain_table(dim: int, grid: tuple[int, int, int]) -> Tensor:
    rows = [
        [plain_table_entry(dim, (t, h, w), channel) for channel in range(dim)]
        for t in range(grid[0])
        for h in range(grid[1])
        for w in range(grid[2])
    ]
    return torch.tensor(rows, dtype=torch.float64)


def plain_norm(x: Tensor, weights: Mapping[str, Tensor], name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def plain_linear(x: Tensor, weights: Mapping[str, Tensor], name: str) -> Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def plain_attention(x: Tensor, weights: Mapping[str, Tensor], name: str, heads: int) -> Tensor:
    """x is one clip, [N, D]; the rows of qkv are all queries, all keys, all values, each head by head."""
    queries, keys, values = plain_linear(x, weights, f"{name}.qkv").chunk(3, dim=-1)
    outputs = []
    for q, k, v in zip(*(part.chunk(heads, dim=-1) for part in (queries, keys, values)), strict=True):
        scores = (q @ k.T) / math.sqrt(q.shape[-1])
        powers = (scores - scores.max(dim=-1, keepdim=True).values).exp()
        outputs.append(powers / powers.sum(-1, keepdim=True) @ v)
    return plain_linear(torch.cat(outputs, dim=-1), weights, f"{name}.proj")


def plain_gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def plain_tubelets(clip: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    kernel = weights["patch_embed.proj.weight"]
    _, _, T, H, W = (0, *clip.shape)
    tokens = [
        (kernel * clip[:, t : t + 2, y : y + 16, x : x + 16]).sum(dim=(1, 2, 3, 4))
        for t in range(0, T, 2)
        for y in range(0, H, 16)
        for x in range(0, W, 16)
    ]
    return torch.stack(tokens) + weights["patch_embed.proj.bias"]


def plain_forward(model: VisionTransformer, clip: Tensor, table: Tensor) -> Tensor:
    """One clip [3, T, H, W] -> [N, D] in float64."""
    weights = {name: weight.double() for name, weight in model.state_dict().items()}
    x = plain_tubelets(clip.double(), weights) + table
    for block in (f"blocks.{i}" for i in range(model.shape.depth)):
        normed = plain_norm(x, weights, f"{block}.norm1")
        x = x + plain_attention(normed, weights, f"{block}.attn", model.shape.heads)
        normed = plain_norm(x, weights, f"{block}.norm2")
        x = x + plain_linear(plain_gelu(plain_linear(normed, weights, f"{block}.mlp.fc1")), weights, f"{block}.mlp.fc2")
    return plain_norm(x, weights, "norm")


def resampling(length: int, new_length: int) -> Tensor:
    """float64[new, old]: linear interpolation between pixel centres, held constant beyond the outer ones."""
    matrix = torch.zeros(new_length, length, dtype=torch.float64)
    for i in range(new_length):
        place = min(max((i + 0.5) * length / new_length - 0.5, 0), length - 1)
        low = min(int(place), length - 1)
        high = min(low + 1, length - 1)
        matrix[i, low] += 1 - (place - low)
        matrix[i, high] += place - low
    return matrix


def relative_difference(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def test_position_table_is_the_published_rule_entry_by_entry() -> None:
    for dim, grid in ((48, (2, 4, 4)), (64, (3, 2, 5)), (20, (2, 3, 3))):
        torch.testing.assert_close(position_table(dim, grid)[0].double(), plain_table(dim, grid), rtol=0, atol=1e-7)


def test_position_table_of_vit_huge_at_384_has_the_known_numbers() -> None:
    table = position_table(1280, (8, 24, 24))
    assert table.shape == (1, 4608, 1280)
    known = {
        (24, 430): 0.7940983880191879,
        (577, 427): 0.9999999945505436,
        (4607, 0): 0.6569865987187891,
        (4607, 213): 0.000730784942191106,
        (4607, 428): -0.8462204041751706,
        (4607, 1279): 0.9999959323716103,
        (3000, 641): 0.0005219892671786807,
    }
    for (token, channel), value in known.items():
        assert float(table[0, token, channel]) == pytest.approx(value, rel=1e-6)
    assert float(table.double().sum()) == pytest.approx(2661198.392455083, rel=1e-7)


def test_tokens_equal_the_plain_restatement() -> None:
    model = random_model()
    clips = random_clips(2, 3, 16, 64, 64)
    tokens = model(clips)
    assert tokens.shape == (2, 8, 4, 4, 48)
    table = plain_table(48, (8, 4, 4))
    for clip, found in zip(clips, tokens, strict=True):
        assert relative_difference(found.flatten(0, 2), plain_forward(model, clip, table)) < 1e-5


@pytest.mark.parametrize("size", [(8, 64, 64), (16, 96, 96), (32, 112, 48), (4, 80, 64), (2, 16, 16)])
def test_other_clip_sizes_interpolate_the_table(size: tuple[int, int, int]) -> None:
    model = random_model()
    grid = (size[0] // 2, size[1] // 16, size[2] // 16)
    table = plain_table(48, (8, 4, 4)).reshape(8, 4, 4, 48)
    for axis, new_length in enumerate(grid):
        moved = table.movedim(axis, 0)
        table = torch.tensordot(resampling(len(moved), new_length), moved, dims=1).movedim(0, axis)
    clip = random_clips(3, *size)
    tokens = model(clip[None])[0]
    assert tokens.shape == (*grid, 48)
    assert relative_difference(tokens.flatten(0, 2), plain_forward(model, clip, table.reshape(-1, 48))) < 1e-5


def test_a_loaded_position_table_is_used_as_it_is() -> None:
    model = random_model()
    other = torch.randn(model.pos_embed.shape, generator=torch.Generator().manual_seed(2))
    model.load_state_dict(model.state_dict() | {"pos_embed": other})
    clip = random_clips(3, 16, 64, 64)
    expected = plain_forward(model, clip, other[0].double())
    assert relative_difference(model(clip[None])[0].flatten(0, 2), expected) < 1e-5


def test_state_dict_has_the_published_names_and_shapes() -> None:
    block = {
        "norm1.weight": (48,), "norm1.bias": (48,), "attn.qkv.weight": (144, 48), "attn.qkv.bias": (144,),
        "attn.proj.weight": (48, 48), "attn.proj.bias": (48,), "norm2.weight": (48,), "norm2.bias": (48,),
        "mlp.fc1.weight": (192, 48), "mlp.fc1.bias": (192,),
        "mlp.fc2.weight": (48, 192), "mlp.fc2.bias": (48,),
    }  # fmt: skip
    expected: dict[str, tuple[int, ...]] = {
        "pos_embed": (1, 128, 48),
        "patch_embed.proj.weight": (48, 3, 2, 16, 16),
        "patch_embed.proj.bias": (48,),
        **{f"blocks.{i}.{name}": shape for i in range(3) for name, shape in block.items()},
        "norm.weight": (48,),
        "norm.bias": (48,),
    }
    assert {name: tuple(value.shape) for name, value in SMALL.build().state_dict().items()} == expected


@pytest.mark.parametrize(
    ("name", "parameters", "tokens"),
    [
        ("vjepa-vitl16-224", 303_885_312, 1568),
        ("vjepa-vith16-224", 631_648_000, 1568),
        ("vjepa-vith16-384", 631_648_000, 4608),
    ],
)
def test_named_shapes_have_the_published_sizes(name: str, parameters: int, tokens: int) -> None:
    with torch.device("meta"):
        model = SHAPES[name].build()
    assert sum(weight.numel() for weight in model.parameters()) == parameters
    assert model.pos_embed.shape[1] == tokens
    assert SHAPES[name].heads == 16


def test_a_clip_gives_the_same_tokens_alone_and_in_a_batch() -> None:
    model = random_model()
    clips = random_clips(3, 3, 16, 64, 64)
    torch.testing.assert_close(model(clips)[1], model(clips[1:2])[0], rtol=1e-5, atol=1e-5)
    assert torch.equal(model(clips), model(clips))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 2e-2), (torch.float16, 3e-3)])
def test_half_precision_rounds_the_products_and_nothing_else(dtype: torch.dtype, bound: float) -> None:
    clips = random_clips(1, 3, 16, 64, 64)
    expected = random_model()(clips)
    model = random_model().compute_in(dtype)
    tokens = model(clips)
    assert tokens.dtype == torch.float32
    assert 0 < relative_difference(tokens, expected) < bound
    rounded = {name for name, value in model.state_dict().items() if value.dtype == dtype}
    assert rounded == {name for name in model.state_dict() if ".attn." in name or ".mlp." in name}


def test_every_parameter_learns() -> None:
    torch.manual_seed(0)
    model = VisionTransformer(24, 2, 2, frames=4, resolution=32)
    (model(random_clips(2, 3, 4, 32, 32)) ** 3).mean().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None
        assert weight.grad.isfinite().all()
        assert weight.grad.abs().max() > 0, name


def test_clips_of_no_whole_tubelets_are_refused() -> None:
    with pytest.raises(AssertionError, match="no whole tubelets"):
        random_model()(random_clips(1, 3, 16, 60, 64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 5}, r"dim \(48\) is not a multiple of heads \(5\)"),
        ({"resolution": 60}, r"resolution \(60\)"),
        ({"frames": 5}, r"frames \(5\)"),
        ({"depth": 0}, "depth is 0"),
        ({"depth": 2.0}, "depth is 2.0"),
        ({"dim": "48"}, "dim is '48'"),
        ({"mlp_ratio": -1}, "mlp_ratio is -1"),
        ({"layers": 3}, "layers"),
    ],
)
def test_senseless_shapes_are_refused_by_name(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shape_from_json({"dim": 48, "depth": 3, "heads": 3, "resolution": 64} | change)


def test_missing_entries_of_a_shape_are_named() -> None:
    with pytest.raises(ValueError, match="depth"):
        shape_from_json({"dim": 48, "heads": 3, "resolution": 64})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)])
def test_a_gpu_gives_the_tokens_of_the_cpu(dtype: torch.dtype, bound: float) -> None:
    clips = random_clips(2, 3, 16, 96, 64)
    expected = random_model()(clips)
    tokens = random_model().compute_in(dtype).cuda()(clips.cuda())
    assert relative_difference(tokens.cpu(), expected) < bound


@pytest.mark.parametrize(
    "shape",
    [Shape(dim=32, depth=1, heads=2, resolution=32), Shape(48, 3, 4, 64, frames=8, patch=8, tubelet=4, mlp_ratio=3.5)],
)
def test_flops_are_those_that_torch_counts(shape: Shape) -> None:
    clips = torch.zeros(2, 3, shape.frames, shape.resolution, shape.resolution)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.inference_mode():
        shape.build()(clips)
    assert counter.get_total_flops() == 2 * shape.flops


def test_flops_of_the_published_encoders_are_those_of_the_literature() -> None:
    assert SHAPES["vjepa-vith16-384"].flops == pytest.approx(9.3e12, rel=0.01)
