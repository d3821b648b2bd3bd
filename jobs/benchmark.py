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

    Raises:
        UserError: a setting cannot be measured.
    """
    try:
        wanted = BenchmarkSettings(packs=tuple(int(size) for size in packs.split(",")), **settings)
    except ValueError as error:
        raise UserError(f"benchmark probe: {error}; see `fersweep benchmark probe --help`") from error
    console.print(
        f"tokens [{wanted.batch}, {wanted.tokens}, {wanted.dim}] of {wanted.dtype}, {wanted.heads} heads; "
        f"torch {torch.__version__}, threads: {wanted.threads}; medians of {wanted.rounds} rounds",
        soft_wrap=True,
    )
    with progress(console, "rounds") as report:
        result = measure(wanted, lambda done: report(done, wanted.rounds, 0))
    console.print(_table(result))
    console.print(
        f"one copy of the tokens takes {result.copy:.4f} s, their statistics (once per video, not per step) "
        f"{result.statistics:.4f} s, AdamW on one probe's weights, the same for both, {result.optimiser:.4f} s",
        soft_wrap=True,
    )


def _table(result: BenchmarkResult) -> Table:
    table = Table("per probe", *("step s", "ratio", "reading s", "ratio", "copies", "GB/s", "peak"))
    for side in result.sides:
        plain = side is result.sides[0]
        table.add_row(
            side.name,
            f"{side.step:.4f}",
            "" if plain else f"{side.ratio:.0f}x",
            f"{side.attention:.4f}",
            "" if plain else f"{side.attention_ratio:.0f}x",
            f"{side.copies:.1f}",
            "" if plain else f"{side.rate / 1e9:.1f}",
            f"{side.peak / result.token_bytes:.0%}",
        )
    return table
