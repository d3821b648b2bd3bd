"""What the commands share: their common arguments, the console, and opening an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from jobs.context import Context

ExperimentFile = Annotated[Path, typer.Argument(help="the experiment file (YAML)")]
Overrides = Annotated[list[str] | None, typer.Argument(help="section.key=value ...")]


def console(*, errors: bool = False) -> Console:
    """Where commands speak: standard output, or standard error where the output is for other programs."""
    return Console(stderr=errors, highlight=False)


def open_context(path: Path, overrides: list[str] | None) -> Context:
    """An experiment file with its overrides, checked."""
    from jobs.context import Context
    from jobs.experiment import load_experiment

    return Context.of(load_experiment(path, overrides or []), console())
