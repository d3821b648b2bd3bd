"""`fersweep benchmark probe`: how fast packs train on this machine, beside the plain classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from distributed.benchmark_probe import BenchmarkResult, BenchmarkSettings, measure
from distributed.errors import UserError
from jobs.progress import progress


def benchmark_probe(settings: Mapping[str, Any], packs: str, console: Console) -> None:
    """Measure and print a table; `settings` are those of `BenchmarkSettings`, `packs` numbers between commas.

    On a GPU the table says who reads the tokens, and compares that with torch alone.

    Raises:
        UserError: a setting cannot be measured.
    """
    try:
        wanted = BenchmarkSettings(packs=tuple(int(size) for size in packs.split(",")), **settings)
    except ValueError as error:
        raise UserError(f"benchmark probe: {error}; see `fersweep benchmark probe --help`") from error
    console.print(
        f"tokens [{wanted.batch}, {wanted.tokens}, {wanted.dim}] of {wanted.dtype}, {wanted.heads} heads; "
        f"torch {torch.__version__}, {_machine(wanted)}; medians of {wanted.rounds} rounds",
        soft_wrap=True,
    )
    with progress(console, "rounds") as report:
        result = measure(wanted, lambda done: report(done, wanted.rounds, 0))
    console.print(_table(result, who=wanted.device == "cuda"))
    console.print(
        f"one copy of the tokens takes {result.copy:.4f} s, their statistics (once per video, not per step) "
        f"{result.statistics:.4f} s, AdamW on one probe's weights, the same for both, {result.optimiser:.4f} s",
        soft_wrap=True,
    )


def _machine(wanted: BenchmarkSettings) -> str:
    return torch.cuda.get_device_name() if wanted.device == "cuda" else f"threads: {wanted.threads}"


def _table(result: BenchmarkResult, *, who: bool) -> Table:
    table = Table("per probe", *("step s", "ratio", "reading s", "ratio", "copies", "GB/s", "peak"))
    if who:
        table.add_column("read by")
    for side in result.sides:
        plain = side is result.sides[0]
        reader = ("programs" if side.programs else "torch",) if who else ()
        table.add_row(
            side.name,
            f"{side.step:.5f}",
            "" if plain else f"{side.ratio:.0f}x",
            f"{side.attention:.5f}",
            "" if plain else f"{side.attention_ratio:.0f}x",
            f"{side.copies:.2f}",
            "" if plain else f"{side.rate / 1e9:.1f}",
            f"{side.peak / result.token_bytes:.0%}",
            *reader,
        )
    return table
