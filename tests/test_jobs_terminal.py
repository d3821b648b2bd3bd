"""What the commands share: an experiment with its overrides, and where they speak."""

from __future__ import annotations

from pathlib import Path

import pytest

from distributed.errors import UserError
from jobs.terminal import console, open_context
from tests.small_road import write_experiment


def test_an_experiment_is_opened_with_its_overrides(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, tmp_path)
    assert open_context(path, ["search.pack=1"]).experiment.search.pack == 1
    assert open_context(path, None).experiment.search.pack == 2
    with pytest.raises(UserError, match="serch: unknown key; did you mean search"):
        open_context(path, ["serch.pack=1"])


def test_errors_go_where_other_programs_do_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    console().print("result")
    console(errors=True).print("warning")
    assert capsys.readouterr() == ("result\n", "warning\n")
