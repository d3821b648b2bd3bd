"""What every probe is, a set of queries over standardised tokens and a head, and its seeded parts."""

import abc
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from search_spaces.few_rows import Linear


class TokenGrid(NamedTuple):
    """How the tokens of a video lie in their sequence: segments, and in each time, height and width."""

    segments: int
    time: int
    height: int
    width: int

    @property
    def num_tokens(self) -> int:
        """All of a video."""
        return math.prod(self)


class Probe(nn.Module, abc.ABC):
    """A small classifier on frozen tokens.

    The rows of `queries` attend over the standardised tokens of a video; whoever trains the probe computes
    that readout, for many probes at once, and hands each its own rows.

    `scales`: into how many equal parts of the sequence, as it lies, a video is cut for the rows to attend within
    each. One or several such numbers; most probes read the whole. `num_tokens`: how many tokens of a video that
    needs; None for any number.
    """

    scales: tuple[int, ...] = (1,)
    num_tokens: int | None = None

    @abc.abstractmethod
    def queries(self) -> Tensor:
        """float[R, D]: the rows that attend over the tokens; a row of zeros is mean pooling."""

    @abc.abstractmethod
    def classify(self, readout: Tensor) -> Tensor:
        """Readout float[B, R, D] of the probe's own rows -> logits float[B, C].

        With scales other than (1,) it is float[B, sum(scales)·R, D]: scale by scale, part by part, row by row.
        """


class MixingProbe(Probe):
    """A probe whose tokens look at each other before its rows attend; trained alone, as it shares no read."""

    @abc.abstractmethod
    def mix(self, tokens: Tensor) -> Tensor:
        """Tokens float[B, N, D] as the encoder gave them -> those that the rows attend over, once standardised."""


class FittedProbe(Probe):
    """A probe that reads the mean of the standardised tokens and whose weights are computed, not learned in steps."""

    @abc.abstractmethod
    def fit(self, pooled: Tensor, labels: Tensor) -> None:
        """Set the weights from means float[M, D] and labels int64[M]."""


class MeanPooledProbe(Probe):
    """A probe whose one query row is zero: its readout is the mean of the standardised tokens."""

    zero_query: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("zero_query", torch.zeros(1, dim), persistent=False)

    def queries(self) -> Tensor:
        return self.zero_query


class RandomStream:
    """The random numbers of one probe, independent of every other probe and of torch's global generators."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._generator: torch.Generator | None = None

    def on(self, device: torch.device) -> torch.Generator:
        """The stream's generator on a device; seeded anew when the device changes."""
        if self._generator is None or self._generator.device != device:
            self._generator = torch.Generator(device).manual_seed(self.seed)
        return self._generator


class Dropout(nn.Module):
    """Dropout that draws from its probe's own stream, so that a probe trains alike in any company.

    16 random bits decide about a value, so `p` is met to 1/65536; on a CPU that is several times faster than a
    random number each.
    """

    def __init__(self, p: float, stream: RandomStream) -> None:
        super().__init__()
        self.p = p
        self.stream = stream

    def forward(self, x: Tensor) -> Tensor:
        if self.p == 0 or not self.training:
            return x
        dropped = round(self.p * 2**16)
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
        words.random_(-(2**63), None, generator=self.stream.on(x.device))
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        # Compared right into numbers of the type of x: by a mask of booleans it takes a CPU four times as long.
        kept = torch.ge(bits, dropped - 2**15, out=torch.empty_like(x))
        return x * kept.mul_(2**16 / (2**16 - dropped))


def linear(inputs: int, outputs: int, stream: RandomStream, *, std: float | None = None) -> Linear:
    """A linear layer drawn from a stream and from nothing else.

    Weights come from a normal distribution of this `std` cut off at ±2, biases are zero; without `std`, both
    are uniform within ±1/√inputs, as torch has it.
    """
    # Made without values, as torch's own initialisation would draw from the global generator.
    # Not by `to_empty`, which imports all of sympy: a second and 40 MB for every process that trains.
    layer = Linear(inputs, outputs, device="meta")
    layer.weight, layer.bias = nn.Parameter(torch.empty(outputs, inputs)), nn.Parameter(torch.empty(outputs))
    generator = stream.on(torch.device("cpu"))
    if std is None:
        bound = 1 / math.sqrt(inputs)
        nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    else:
        nn.init.trunc_normal_(layer.weight, std=std, generator=generator)
        nn.init.zeros_(layer.bias)
    return layer
