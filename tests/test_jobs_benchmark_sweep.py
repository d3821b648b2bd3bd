"""`fersweep benchmark sweep`: what Ray Tune, Optuna and MLflow cost, and numbers that make no search."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from distributed.errors import UserError
from jobs.benchmark_sweep import benchmark_sweep


@pytest.mark.usefixtures("shared_ray")
def test_workers_are_reused_and_the_table_says_where_the_seconds_went() -> None:
    console = Console(file=io.StringIO(), width=160)
    found = benchmark_sweep(12, 2, console)
    assert found.configurations == 12 and found.workers == 2, "a worker for each fold trains all of its packs"
    assert found.total == pytest.approx(found.start + found.training + found.between + found.end, abs=1e-6)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "12 configurations of one step, 2 worker processes" in text
    assert f"{found.each:.3f} s a configuration beside training, in packs of 2" in text


@pytest.mark.soak
@pytest.mark.usefixtures("shared_ray")
def test_tune_optuna_and_mlflow_cost_a_configuration_at_most_0_3_seconds() -> None:
    assert benchmark_sweep(160, 16, Console(quiet=True)).each <= 0.3


@pytest.mark.parametrize(("configurations", "pack"), [(1, 1), (8, 0)])
def test_numbers_that_make_no_search_are_refused(configurations: int, pack: int) -> None:
    with pytest.raises(UserError, match="benchmark sweep: .* at least 2 configurations, and packs of at least 1"):
        benchmark_sweep(configurations, pack, Console(quiet=True))
