"""Whether a GPU reads tokens with the programs of `distributed.readout_kernel`, or with torch alone.

What a compiler makes of a program for a device cannot be known before it runs there. So each kind of readout is
compared with torch's once per process, on a small batch, and used where both agree.
"""

import functools
import os
import subprocess
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from distributed.errors import UserError
from distributed.readout_kernel import TYPES, device_limits, plan_for, read_out

# The environment's variable that a user may set to `torch`; and what it may be.
VARIABLE = "FERSWEEP_READOUT"
CHOICES = ("auto", "torch")
# How far from torch's a readout and a gradient may be, of their norms, to be trusted: what rounding to 8 bits does is
# far below, what a wrong program does is far above.
_TOLERANCES = (5e-3, 2e-2)
_MOST_VIDEOS = 65_535  # programs that a GPU can number in one direction
_forced: list[str] = []


@contextmanager
def forced(choice: str) -> Iterator[None]:
    """Readouts of this block go as `choice` says, `torch` or `auto`, whatever the environment says."""
    _forced.append(choice)
    try:
        yield
    finally:
        _forced.pop()


def is_trusted(tokens: Tensor, queries: Tensor, reference: Callable[[Tensor, Tensor], Tensor]) -> bool:
    """Whether `read_out` is to read these tokens: on a GPU that has shown once, on a small batch, that it can.

    `reference`: torch's readout of tokens [B, N, D] by queries float32[R, D].
    Raises UserError when the environment asks for what there is not.
    """
    choice = _forced[-1] if _forced else os.environ.get(VARIABLE, CHOICES[0])
    if choice not in CHOICES:
        raise UserError(f"{VARIABLE}={choice} in the environment: choose one of {', '.join(CHOICES)}")
    if choice == "torch" or not (_fits(tokens) and _compiles(tokens.device) and queries.dtype == torch.float32):
        return False
    plan = plan_for(len(queries), tokens.shape[2], device_limits(tokens.device)[0])
    return _agrees(tokens.device, tokens.dtype, tokens.shape[2], plan.rows, reference)


def _fits(tokens: Tensor) -> bool:
    if tokens.dtype not in TYPES or tokens.device.type != "cuda":
        return False
    if tokens.shape[1] == 0 or tokens.shape[0] > _MOST_VIDEOS:
        return False
    return tokens.is_contiguous() and tokens.data_ptr() % 16 == 0


@functools.cache
def _compiles(device: torch.device) -> bool:
    """Older GPUs have no such matrix units, and asking for them may end the process rather than raise an error."""
    return torch.version.cuda is not None and torch.cuda.get_device_capability(device) >= (8, 0)


@functools.cache
def _agrees(
    device: torch.device, dtype: torch.dtype, dim: int, rows: int, reference: Callable[[Tensor, Tensor], Tensor]
) -> bool:
    """Compares both once in a process; says so when they differ, or when there is nothing to compare."""
    try:
        reason = disagreement(device, dtype, dim, rows, reference)
    except _failures() as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
    if reason is not None:
        what = f"{str(dtype).removeprefix('torch.')} tokens of {dim} features on {device}, {rows} rows at a time"
        warnings.warn(f"torch alone reads {what}, slower than programs of our own would: {reason}", stacklevel=4)
    return reason is None


def _failures() -> tuple[type[BaseException], ...]:
    """What a compiler, a driver or a missing part of them raises."""
    of_the_system = (OSError, subprocess.SubprocessError)
    of_another_version = (ImportError, ValueError, TypeError, AttributeError, LookupError, AssertionError)
    known = (RuntimeError, *of_the_system, *of_another_version)
    try:
        from triton.errors import TritonError
    except ImportError:
        return known
    return (*known, TritonError)


def disagreement(
    device: torch.device, dtype: torch.dtype, dim: int, rows: int, reference: Callable[[Tensor, Tensor], Tensor]
) -> str | None:
    """What is wrong with a readout of a small generated batch and its gradient, against the reference's; or nothing.

    `rows` of a block: there are fewer, or one block and a half. Every program has three tiles, of which the last of a
    video is not full.
    """
    num_rows = rows + rows // 2 if rows > 64 else rows - 3
    shared, processors = device_limits(device)
    plan = plan_for(num_rows, dim, shared)
    count = 3 * plan.tile * max(1, processors // plan.units(2, num_rows, dim)) - 19
    generator = torch.Generator(device).manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=device)

    tokens = (drawn(2, count, dim) * (0.5 + drawn(2, count, 1).abs()) + drawn(dim)).to(dtype)
    queries, weight = 3 * dim**-0.5 * drawn(num_rows, dim), drawn(2, num_rows, dim)
    variance, mean = torch.var_mean(tokens.float(), dim=-1, correction=0)
    with torch.enable_grad():
        mine, theirs = queries.clone().requires_grad_(), queries.clone().requires_grad_()
        result = read_out(tokens, mean, torch.rsqrt(variance + 1e-5), mine)
        expected = reference(tokens, theirs)
        grad = torch.autograd.grad((result * weight).sum(), mine)[0]
        known = torch.autograd.grad((expected * weight).sum(), theirs)[0]
    pairs = {"readout": (result, expected, _TOLERANCES[0]), "gradient": (grad, known, _TOLERANCES[1])}
    for name, (one, other, tolerance) in pairs.items():
        far = float((one.detach() - other.detach()).norm() / other.detach().norm())
        if not far <= tolerance:  # nor where it is no number
            return f"its {name} is {far:.1e} of its norm from torch's on a small batch, more than {tolerance:.0e}"
    return None
