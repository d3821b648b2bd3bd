"""The cluster's commands as they are typed; what they do on a real head: tests of jobs and submit."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from distributed.errors import UserError
from jobs.main import app

NOBODY = ["--address", "http://127.0.0.1:1"]


@pytest.mark.parametrize(
    "arguments", [["submit", "demo"], ["jobs", "list"], ["jobs", "logs", "some"], ["jobs", "stop", "some"]]
)
def test_every_command_goes_to_the_address_that_is_given(arguments: list[str]) -> None:
    with pytest.raises(UserError, match="--address http://127.0.0.1:1: no Ray job server answers"):
        CliRunner().invoke(app, [*arguments, *NOBODY], catch_exceptions=False)


def test_help_names_what_there_is() -> None:
    text = CliRunner().invoke(app, ["jobs", "--help"]).output
    assert all(name in text for name in ("list", "logs", "stop"))


def test_a_stages_options_and_overrides_reach_the_stage() -> None:
    """An option that does not belong to the stage is refused by name, so each of them has arrived."""
    for option in (["--full-video"], ["--on", "b.yaml"], ["--optimistic"]):
        with pytest.raises(UserError, match=f"{option[0]} is an option of"):
            CliRunner().invoke(app, ["submit", "index", "a.yaml", *option], catch_exceptions=False)
