"""The readout on a GPU in programs of our own, which read the tokens about once forwards and once backwards.

A few rows (one probe's) are kept in a multiprocessor's memory beside two tiles of tokens: one is on its way from the
GPU's memory while the other meets the rows, is weighed, and is mixed from where it lies. Parts of a video are readouts
of their own, joined by their normalisers (Milakov and Gimelshein, 2018; Dao et al., "Flash-Decoding", 2023). Sums of
many rows do not fit there: these are weighed by one program and mixed by another, so the tokens are read twice, and by
then the arithmetic takes longer than that. The backward pass uses the weights of the forward pass.

The programs are `distributed.readout_programs`; whether they are used is decided in `distributed.readout_trust`.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

TYPES = (torch.float16, torch.bfloat16)
FEW = 16
_RESERVE = 6 * 1024  # bytes that programs share beside tiles
_WIDEST = 2048  # features whose sums fit a multiprocessor's registers
_JOINED = 128  # features whose parts a program joins
_SAMPLE = 1024  # tokens of a batch whose mean is its common part


@dataclass(frozen=True)
class Plan:
    """Sizes of the programs' tiles for rows of `dim` features; powers of two.

    `tile` tokens are weighed at a time. With `few` rows all features stay in shared memory, in chunks; otherwise
    `chunk` features meet the rows at a time, and `slice` features are mixed by one program, `step` tokens at a time.
    """

    few: bool
    rows: int
    tile: int
    chunk: int
    stages: int
    slice: int = 256
    step: int = 64

    def units(self, videos: int, num_rows: int, dim: int) -> int:
        """Programs that sum one part of every video."""
        return videos if self.few else videos * math.ceil(num_rows / self.rows) * math.ceil(dim / self.slice)


@functools.cache
def plan_for(num_rows: int, dim: int, shared: int) -> Plan:
    """For a GPU with so many bytes of `shared` memory for a program."""
    width = min(128, _power_of_two(dim))
    if num_rows <= FEW and dim <= _WIDEST:
        for tile, stages in ((32, 3), (16, 3), (16, 2)):
            if 2 * width * math.ceil(dim / width) * (FEW + (stages - 1) * tile) + _RESERVE <= shared:
                return Plan(True, FEW, tile, width, stages)
    stages = 4 if shared >= 200 * 1024 else 3
    return Plan(False, 64 if num_rows <= 64 else 128, 128, min(64, width), stages, min(256, _power_of_two(dim)))


def _power_of_two(number: int) -> int:
    return max(16, 1 << (number - 1).bit_length())


@functools.cache
def tiles_per_part(units: int, tiles: int, processors: int) -> int:
    """How many of a video's tiles a program takes, so that all processors end together and few parts are to be joined.

    `units`: programs for one part, of all videos.
    """

    def cost(each: int) -> tuple[int, int]:
        parts = math.ceil(tiles / each)
        # A part costs about as much as a tile, to write its sums and to read them.
        return math.ceil(units * parts / processors) * (each + 1), parts

    return min(range(1, tiles + 1), key=cost)


@dataclass(frozen=True)
class _Batch:
    """Tokens [B, N, D], float32[B, N] statistics, and the plan for so many rows."""

    tokens: Tensor
    mean: Tensor
    rstd: Tensor
    num_rows: int
    plan: Plan
    processors: int

    @property
    def tiles(self) -> int:
        return math.ceil(self.tokens.shape[1] / self.plan.tile)

    def empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return self.tokens.new_empty((len(self.tokens), *shape), dtype=dtype)

    def weights(self) -> Tensor:
        return self.empty(self.num_rows, self.tiles * self.plan.tile, dtype=self.tokens.dtype)

    def common(self) -> Tensor:
        """About what the tokens share, float32[D]."""
        flat = self.tokens.flatten(0, 1)
        return flat[:: math.ceil(len(flat) / _SAMPLE)].mean(dim=0, dtype=torch.float32)

    def ready(self, rows: Tensor, results: Tensor, common: Tensor) -> tuple[Tensor, Tensor]:
        """Rows float32[..., R, D] as 16 bits, and their numbers float32[3, ...]; see the program."""
        dim = rows.shape[-1]
        main, numbers = torch.empty_like(rows, dtype=self.tokens.dtype), rows.new_empty((3, rows[..., 0].numel()))
        _programs().ready[(rows[..., 0].numel(),)](
            rows, results, common, main, numbers, D=dim, BLOCK=_power_of_two(dim), num_warps=4
        )
        return main, numbers

    def join(self, parts: Tensor, normalisers: Tensor) -> tuple[Tensor, Tensor]:
        """Parts float32[B, parts, R, D] that are readouts of their own -> the whole's result and normaliser."""
        videos, count, num_rows, dim = parts.shape
        result, normaliser = self.empty(num_rows, dim), self.empty(num_rows)
        grid = (num_rows, videos, math.ceil(dim / _JOINED))
        _programs().join[grid](
            parts, normalisers, result, normaliser, num_rows, count, D=dim, CHUNK=_JOINED, SOME=32, num_warps=4
        )
        return result, normaliser

    def options(self, backward: bool) -> dict[str, Any]:
        plan = self.plan
        return {
            "D": self.tokens.shape[2], "ROWS": plan.rows, "TILE": plan.tile, "STAGES": plan.stages,
            "BACKWARD": backward, "num_warps": 8,
        }  # fmt: skip


@dataclass(frozen=True)
class _Known:
    """What a forward pass leaves: weights [B, R, stride] of the tokens' type, float32 levels [B, tiles, R]."""

    weights: Tensor
    levels: Tensor
    normaliser: Tensor
    result: Tensor


# Parts float32[B, parts, R, D], their normalisers float32[B, parts, R], and weights and levels as in `_Known`.
_Passed = tuple[Tensor, Tensor, Tensor, Tensor]


def _whole(batch: _Batch, rows: Tensor, numbers: Tensor, known: _Known | None) -> _Passed:
    """Parts of a readout of few rows, or of the gradient where the readout is `known`."""
    videos, tokens, dim = batch.tokens.shape
    each = tiles_per_part(batch.plan.units(videos, batch.num_rows, dim), batch.tiles, batch.processors)
    count = math.ceil(batch.tiles / each)
    its = known or _Known(batch.weights(), batch.empty(batch.tiles, batch.num_rows), numbers, numbers)
    normalisers, parts = batch.empty(count, batch.num_rows), batch.empty(count, batch.num_rows, dim)
    _programs().whole[(count, videos)](
        batch.tokens, batch.mean, batch.rstd, rows, numbers, its.weights, its.levels, its.normaliser, its.result,
        normalisers, parts, tokens, batch.num_rows, each * batch.plan.tile, its.weights.shape[2],
        CHUNK=batch.plan.chunk, **batch.options(known is not None),
    )  # fmt: skip
    return parts, normalisers, its.weights, its.levels


def _halves(batch: _Batch, rows: Tensor, numbers: Tensor, known: _Known | None) -> _Passed:
    """The same of many rows."""
    videos, tokens, dim = batch.tokens.shape
    plan, num_rows, tiles = batch.plan, batch.num_rows, batch.tiles
    blocks, slices = math.ceil(num_rows / plan.rows), math.ceil(dim / plan.slice)
    each = tiles_per_part(plan.units(videos, num_rows, dim), tiles, batch.processors)
    count = math.ceil(tiles / each)
    weights = batch.weights()
    # The last part may be short of tiles: such ones weigh nothing.
    levels = batch.empty(count * each, num_rows).fill_(-torch.inf)
    totals, shifts = torch.zeros_like(levels), torch.zeros_like(levels)
    options = batch.options(known is not None)
    its = known or _Known(weights, levels, numbers, numbers)
    _programs().weights_of[(blocks, tiles, videos)](
        batch.tokens, batch.mean, batch.rstd, rows, numbers, its.weights, its.levels, its.normaliser,
        weights, levels, totals, shifts, tokens, num_rows, weights.shape[2], count * each, CHUNK=plan.chunk, **options,
    )  # fmt: skip
    in_parts = levels.view(videos, count, each, num_rows)
    level = in_parts.amax(dim=2)
    shares = torch.exp2(in_parts - level[:, :, None])
    total, shift = ((shares * sums.view_as(shares)).sum(dim=2) for sums in (totals, shifts))
    parts = batch.empty(count, num_rows, dim)
    _programs().mix[(slices * blocks, count, videos)](
        batch.tokens, weights, shares, level, total, shift, its.result, parts,
        tokens, num_rows, each * plan.tile, weights.shape[2], count * each,
        CHUNK=plan.slice, STEP=plan.step, **options,
    )  # fmt: skip
    normalisers = (level + total.log2()).mul_(math.log(2)) if known is None else level  # pulls have none
    return parts, normalisers, weights, levels


class _KernelReadout(torch.autograd.Function):
    """The readout of raw tokens with given statistics; see `distributed.readout`."""

    @staticmethod
    def forward(
        ctx: Any, tokens: Tensor, mean: Tensor, rstd: Tensor, queries: Tensor, plan: Plan, processors: int
    ) -> Tensor:
        batch = _Batch(tokens, mean.contiguous(), rstd.contiguous(), len(queries), plan, processors)
        rows = queries.contiguous()
        with torch.cuda.device_of(tokens):  # type: ignore[no-untyped-call]
            common = batch.common()
            work = _whole if plan.few else _halves
            parts, normalisers, weights, levels = work(batch, *batch.ready(rows, rows, common), None)
            result, normaliser = batch.join(parts, normalisers)
        ctx.save_for_backward(tokens, batch.mean, batch.rstd, common, weights, levels, normaliser, result)
        ctx.plan, ctx.processors = plan, processors
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tokens, mean, rstd, common, *known = ctx.saved_tensors
        batch = _Batch(tokens, mean, rstd, grads[0].shape[1], ctx.plan, ctx.processors)
        with torch.cuda.device_of(tokens):  # type: ignore[no-untyped-call]
            seen = _Known(*known)
            rows, numbers = batch.ready(grads[0].contiguous(), seen.result, common)
            parts = (_whole if ctx.plan.few else _halves)(batch, rows, numbers, seen)[0]
        return None, None, None, parts.sum(dim=(0, 1)), None, None


def read_out(tokens: Tensor, mean: Tensor, rstd: Tensor, queries: Tensor) -> Tensor:
    """Tokens [B, N, D] of a 16-bit type with statistics float[B, N], by queries float32[R, D] -> float32[B, R, D]."""
    apply: Callable[..., Tensor] = _KernelReadout.apply
    shared, processors = device_limits(tokens.device)
    return apply(tokens, mean, rstd, queries, plan_for(len(queries), tokens.shape[2], shared), processors)


@functools.cache
def device_limits(device: torch.device) -> tuple[int, int]:
    """Bytes of shared memory for a program, and multiprocessors; those of nothing in particular without a GPU."""
    if device.type != "cuda":
        return 227 * 1024, 4
    properties = torch.cuda.get_device_properties(device)
    shared = getattr(properties, "shared_memory_per_block_optin", properties.shared_memory_per_block)
    return shared, properties.multi_processor_count


def _programs() -> Any:
    from distributed import readout_programs  # imports triton, which takes a while and which few machines need

    if not readout_programs.HAS_TRITON:
        raise ImportError("triton is not installed")
    return readout_programs
