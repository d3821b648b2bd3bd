"""`fersweep benchmark probe`: its table, and a setting that cannot be measured."""

import io
import re

import pytest
from rich.console import Console

from distributed.benchmark_probe import BenchmarkResult, SideMeasured
from distributed.errors import UserError
from jobs.benchmark import _table, benchmark_probe

SHAPE = {"tokens": 60, "dim": 32, "batch": 2, "heads": 4, "dtype": "bfloat16", "rounds": 1, "threads": 1}


def test_the_table_names_every_side() -> None:
    console = Console(file=io.StringIO(), width=140)
    benchmark_probe(SHAPE, "1,2", console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "tokens [2, 60, 32] of bfloat16, 4 heads" in text and "rounds: 1/1" in text
    assert re.search(r"plain\s.*\n.*pack of 1\s.*\d+.*x.*\n.*pack of 2\s", text)


def test_on_a_gpu_the_table_says_who_reads() -> None:
    names = {"plain": False, "pack of 1": True, "pack of 1, torch alone": False}
    sides = [SideMeasured(name, 1e-3, 2, 2e-4, 3, 1.25, 4e9, 10, programs) for name, programs in names.items()]
    console = Console(file=io.StringIO(), width=140)
    console.print(_table(BenchmarkResult(sides, 100, 1.0, 1.0, 1.0), who=True))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert re.search(r"read by.*\n.*\n.*plain.*torch.*\n.*pack of 1 .*1\.25.*programs.*\n.*torch alone.*torch ", text)


@pytest.mark.parametrize(("packs", "dtype"), [("1,two", "bfloat16"), ("1", "int4"), ("0", "float32")])
def test_a_wrong_setting_is_the_users(packs: str, dtype: str) -> None:
    with pytest.raises(UserError, match="benchmark probe: .*--help"):
        benchmark_probe(SHAPE | {"dtype": dtype}, packs, Console(file=io.StringIO()))
