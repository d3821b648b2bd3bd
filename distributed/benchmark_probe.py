"""How fast packs of attentive probes train, beside the same classifier with keys and values of every token.

Both sides read the same random tokens of one type. The plain side is written with torch's own modules (LayerNorm,
Linear, scaled_dot_product_attention) and holds its weights in the tokens' type; the packs hold theirs in float32, as
in training, and the process computes as one that trains. A step is everything from tokens to gradients of all weights;
the optimiser's part, the same for both, is timed by itself. Every round measures all sides one after the other, so that
what else the machine does meets all of them, and the ratios are medians of the rounds' own ratios. On a GPU, packs that
programs of our own read are measured with torch alone too.
"""

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distributed.prediction import pack_logits
from distributed.readout import PreparedTokens, prepare, readout, token_statistics, uses_programs
from distributed.readout_trust import forced
from distributed.schedules import ProbeOptimizer
from distributed.threads import use_threads
from search_spaces.attentive import AttentiveProbe
from search_spaces.optimisation import OptimSettings

CLASSES = 8
# Times that a GPU is given a piece of work before it is waited for.
_REPEATS = 10
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True)
class BenchmarkSettings:
    """What is measured: tokens [batch, tokens, dim] of `dtype`, probes of `heads` heads, packs of these sizes.

    With one thread, seconds are the processor's own, to which others on the machine add nothing; on a GPU (`device`:
    cuda) they are those of the clock.
    Raises ValueError on values that cannot be measured.
    """

    tokens: int = 18_432
    dim: int = 1280
    batch: int = 2
    heads: int = 16
    dtype: str = "bfloat16"
    packs: tuple[int, ...] = (1, 8, 16)
    rounds: int = 5
    threads: int = 2
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f"device = {self.device} is unknown: choose cpu or cuda")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("device = cuda, but torch finds no GPU here: choose cpu")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype = {self.dtype} is unknown: choose one of {sorted(DTYPES)}")
        for name in ("tokens", "dim", "batch", "heads", "rounds", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be at least 1")
        if self.dim % self.heads:
            raise ValueError(f"heads = {self.heads} does not divide dim = {self.dim}")
        if not self.packs or min(self.packs) < 1:
            raise ValueError(f"packs = {list(self.packs)} must be sizes of at least 1")


@dataclass(frozen=True)
class SideMeasured:
    """One side, in seconds per step of one probe: its step, and its attention alone, from tokens to what heads read.

    `ratio` and `attention_ratio`: how many times as fast as the plain side. `copies`: the attention of the whole pack
    in times of a copy of the tokens' bytes; `rate`: bytes of tokens per second, at two passes a step, and `peak`: the
    most bytes that one step took beside tokens and weights, gradients included. `programs`: whether programs of our
    own read the tokens.
    """

    name: str
    step: float
    ratio: float
    attention: float
    attention_ratio: float
    copies: float
    rate: float
    peak: int
    programs: bool


@dataclass(frozen=True)
class BenchmarkResult:
    """All sides, plain first; seconds of a copy of the tokens, of their statistics and of one optimiser step."""

    sides: list[SideMeasured]
    token_bytes: int
    copy: float
    statistics: float
    optimiser: float


class PlainClassifier(nn.Module):
    """The attentive classifier with keys and values of every token, in torch's own modules."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.q, self.kv, self.proj = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.linear = nn.Linear(dim, CLASSES)

    def attend(self, tokens: Tensor) -> Tensor:
        """Tokens [B, N, D] -> what the query reads [B, 1, D], before the output projection."""
        batch, _, dim = tokens.shape
        kv = self.kv(self.norm1(tokens)).view(batch, -1, 2, self.heads, dim // self.heads)
        key, value = kv.permute(2, 0, 3, 1, 4)
        query = self.q(self.query).view(1, 1, self.heads, -1).transpose(1, 2).expand(batch, -1, -1, -1)
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [B, N, D] -> logits [B, C]."""
        x = self.query + self.proj(self.attend(tokens))
        x = x + self.mlp(self.norm2(x))
        logits: Tensor = self.linear(x[:, 0])
        return logits


@dataclass
class _Side:
    """Something to measure, and the seconds of its rounds."""

    name: str
    probes: int
    modules: list[nn.Module]
    step: Callable[[], None]
    attention: Callable[[], None]
    programs: bool
    step_seconds: list[float] = field(default_factory=list)
    attention_seconds: list[float] = field(default_factory=list)

    def forget(self) -> None:
        for module in self.modules:
            module.zero_grad()


def measure(settings: BenchmarkSettings, on_round: Callable[[int], None] | None = None) -> BenchmarkResult:
    """Measure all sides; `on_round` is told the number of rounds that ended."""
    before = torch.get_num_threads()
    use_threads(settings.threads)
    try:
        return _measure(settings, on_round)
    finally:
        torch.set_num_threads(before)


def _measure(settings: BenchmarkSettings, on_round: Callable[[int], None] | None) -> BenchmarkResult:
    torch.manual_seed(0)
    tokens = torch.randn(settings.batch, settings.tokens, settings.dim).to(settings.device, DTYPES[settings.dtype])
    labels = torch.arange(settings.batch, device=settings.device) % CLASSES
    prepared, target = prepare(tokens), torch.empty_like(tokens)
    sides = [_plain(settings, tokens, labels)]
    for size in settings.packs:
        sides.append(_pack(size, settings, prepared, labels))
        if sides[-1].programs:
            sides.append(_torch_alone(sides[-1]))
    peaks = [_peak(side, settings.device) for side in sides]  # which also is each side's first, slower step
    copies, passes = [], []
    for number in range(1, settings.rounds + 1):
        copies.append(_seconds(lambda: target.copy_(tokens), settings.device))
        passes.append(_seconds(lambda: token_statistics(tokens), settings.device))
        for side in sides:
            side.step_seconds.append(_seconds(side.step, settings.device, side.forget))
            side.attention_seconds.append(_seconds(side.attention, settings.device, side.forget))
        if on_round is not None:
            on_round(number)
    size, copy = tokens.numel() * tokens.itemsize, statistics.median(copies)
    measured = [_measured(side, sides[0], copies, size, peak) for side, peak in zip(sides, peaks, strict=True)]
    return BenchmarkResult(measured, size, copy, statistics.median(passes), _optimiser(settings))


def _plain(settings: BenchmarkSettings, tokens: Tensor, labels: Tensor) -> _Side:
    model = PlainClassifier(settings.dim, settings.heads).to(tokens)

    def step() -> None:
        F.cross_entropy(model(tokens).float(), labels).backward()  # type: ignore[no-untyped-call]

    def attention() -> None:
        model.attend(tokens).sum().backward()  # type: ignore[no-untyped-call]

    return _Side("plain", 1, [model], step, attention, False)


def _pack(size: int, settings: BenchmarkSettings, tokens: PreparedTokens, labels: Tensor) -> _Side:
    probes = [_probe(settings, seed) for seed in range(size)]

    def step() -> None:
        losses = [F.cross_entropy(logits, labels) for logits in pack_logits(probes, tokens)]
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]

    def queries() -> Tensor:
        return torch.cat([probe.queries() for probe in probes])

    def attention() -> None:
        readout(tokens, queries()).sum().backward()  # type: ignore[no-untyped-call]

    return _Side(f"pack of {size}", size, list(probes), step, attention, uses_programs(tokens, queries()))


def _torch_alone(side: _Side) -> _Side:
    step, attention = forced("torch")(side.step), forced("torch")(side.attention)
    return _Side(f"{side.name}, torch alone", side.probes, side.modules, step, attention, False)


def _probe(settings: BenchmarkSettings, seed: int) -> AttentiveProbe:
    return AttentiveProbe(settings.dim, CLASSES, heads=settings.heads, seed=seed).to(settings.device)


def _measured(side: _Side, plain: _Side, copies: list[float], size: int, peak: int) -> SideMeasured:
    def ratio(mine: list[float], theirs: list[float]) -> float:
        return statistics.median(other / one for one, other in zip(mine, theirs, strict=True))

    attention = statistics.median(side.attention_seconds)
    return SideMeasured(
        side.name,
        step=statistics.median(side.step_seconds) / side.probes,
        ratio=side.probes * ratio(side.step_seconds, plain.step_seconds),
        attention=attention / side.probes,
        attention_ratio=side.probes * ratio(side.attention_seconds, plain.attention_seconds),
        copies=ratio(copies, side.attention_seconds),
        rate=2 * size / attention,
        peak=peak,
        programs=side.programs,
    )


def _optimiser(settings: BenchmarkSettings) -> float:
    """Seconds of one step of the optimiser on one probe."""
    probe = _probe(settings, 0)
    optimizer = ProbeOptimizer(probe, OptimSettings(), total_steps=100, clip_grad=1.0, final_weight_decay=0.0)
    seconds = []
    for _ in range(settings.rounds + 1):
        for weight in probe.parameters():
            weight.grad = torch.zeros_like(weight)
        seconds.append(_seconds(optimizer.step, settings.device))
    return statistics.median(seconds[1:])


def _seconds(work: Callable[[], object], device: str, after: Callable[[], None] = lambda: None) -> float:
    """Of one piece of work; what is done after it costs a GPU nothing."""
    if device == "cuda":
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(_REPEATS):
            work()
            after()
        torch.cuda.synchronize()
        return (time.perf_counter() - began) / _REPEATS
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    work()
    seconds = clock() - began
    after()
    return seconds


def _peak(side: _Side, device: str) -> int:
    """The most bytes of tensors that a step holds at once, beside what was there before."""
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        side.step()
        side.forget()
        return torch.cuda.max_memory_allocated() - before
    with _quiet_stderr(), torch.autograd.profiler.profile(profile_memory=True) as profiler:
        side.step()
    side.forget()
    assert profiler.kineto_results is not None
    changes = [event for event in profiler.kineto_results.events() if event.name() == "[memory]"]
    changes.sort(key=lambda event: event.start_ns())
    return int(max(itertools.accumulate((event.nbytes() for event in changes), initial=0)))


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """The profiler's own messages come from native code, which knows no logging."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
