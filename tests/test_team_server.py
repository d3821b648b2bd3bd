"""A finished sweep on a team's server: through MLflow's authentication into PostgreSQL and an object store.

The server is that of deploy/mlflow/on-head, see tests/team_server.py.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from mlflow.server import get_app_client

from distributed.errors import UserError
from jobs.run import STAGES, run_stage
from tests.finished_run import CONFIGURATIONS, FOLDS, FinishedRun, said
from tests.postgres import programs
from tests.sockets import listening
from tests.team_server import BUCKET, Team, read_env, start_on_head, start_team_server
from tracking.health import write_problem
from tracking.server import api_problem


@pytest.fixture(scope="module")
def team() -> Iterator[Team]:
    programs()  # or the whole file is skipped, aloud
    with start_team_server() as server:
        yield server


@pytest.fixture(autouse=True)
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's password is known at first; the home folder of who starts fersweep."""
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def member(team: Team) -> dict[str, str]:
    """The account of somebody who is no administrator, made as deploy/README.md says."""
    account = {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": secrets.token_hex(24)}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in team.account.items():
            environment.setenv(name, value)
        get_app_client("basic-auth", team.url).create_user(*account.values())
    return account


def write_credentials(home: Path, account: dict[str, str]) -> None:
    (home / ".mlflow").mkdir(parents=True)
    lines = [f"{name.lower()} = {value}" for name, value in account.items()]
    (home / ".mlflow" / "credentials").write_text("\n".join(["[mlflow]", *lines]) + "\n")


def everything_kept(team: Team, workspace: Path) -> Iterator[tuple[str, bytes]]:
    """All that a run has left anywhere: the workspace's files, the bucket's objects, the database, the server's log."""
    for path in workspace.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()
    for page in team.objects.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for item in page.get("Contents", []):
            yield item["Key"], team.objects.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()
    dump = subprocess.run(
        [programs() / "pg_dump", "--no-password"],
        env={**os.environ, **team.environment},
        check=True,
        capture_output=True,
    )
    yield "the database", dump.stdout
    for name in ("mlflow.log", "said"):
        yield name, (team.folder / name).read_bytes()


def test_started_again_it_keeps_what_runs_and_what_it_knows(team: Team) -> None:
    before = state_of_server(team.folder)
    assert before["PGHOST"] == str(team.folder / "database") and not any(name.startswith("AWS_") for name in before)
    again = start_on_head(team.folder, int(team.url.rpartition(":")[2]), {})
    assert (again.returncode, state_of_server(team.folder)) == (0, before)
    assert re.fullmatch(rf"MLflow answers at {team.url}; .*mlflow.env\n", again.stderr)


def test_only_its_own_page_listens_and_only_on_loopback(team: Team) -> None:
    """PostgreSQL has a socket in a folder, and no port."""
    pids = [int((team.folder / "mlflow.pid").read_text())]
    pids.append(int((team.folder / "database/data/postmaster.pid").read_text().split()[0]))
    assert listening(pids) == {("127.0.0.1", int(team.url.rpartition(":")[2]))}


def state_of_server(folder: Path) -> dict[str, str]:
    about = read_env(folder / "mlflow.env") | {"pid": (folder / "mlflow.pid").read_text()}
    assert (folder / "home/.mlflow/credentials").read_text().count(about["MLFLOW_AUTH_ADMIN_PASSWORD"]) == 1
    for secret in ("mlflow.env", "home/.mlflow/credentials"):
        assert stat.S_IMODE((folder / secret).stat().st_mode) == 0o600
    return about


def test_without_a_password_a_sweep_is_refused_with_the_fix(team: Team, finished_run: FinishedRun) -> None:
    wanted = "it asks for a user name and password; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or put"
    with (
        finished_run.changed(f"tracking.uri={team.url}") as context,
        pytest.raises(
            UserError, match=f"tracking.uri: the MLflow server at {team.url} cannot be used: {wanted}"
        ) as info,
    ):
        run_stage(context, "sweep")
    assert str(info.value).endswith("~/.mlflow/credentials")
    assert wanted in str(write_problem(team.url))


def test_a_wrong_password_is_refused_and_not_repeated(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "quite-wrong")
    problem = str(api_problem(team.url))
    assert problem.startswith("it refuses those that are set; ") and "quite-wrong" not in problem


def test_a_password_in_the_environment_is_taken(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in team.account.items():
        monkeypatch.setenv(name, value)
    assert write_problem(team.url) is None


def test_other_host_names_are_refused(team: Team) -> None:
    request = urllib.request.Request(f"{team.url}/api/2.0/mlflow/experiments/search", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=30)


@pytest.mark.usefixtures("shared_ray")
def test_a_sweep_lands_there_whole_and_no_secret_anywhere(
    team: Team,
    member: dict[str, str],
    finished_run: FinishedRun,
    stranger: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_credentials(stranger, member)
    caplog.set_level("DEBUG")
    context = finished_run.copied(tmp_path, f"tracking.uri={team.url}")
    for stage in STAGES[2:]:
        run_stage(context, stage)
    printed = "".join(capfd.readouterr()) + caplog.text + said(context)
    with psycopg2.connect(**{n: team.environment[v] for n, v in _CONNECTION.items()}) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT value FROM tags WHERE key = 'fersweep.key'")
            depths = Counter(key.count("/") for (key,) in cursor.fetchall())
    assert depths == {0: 1, 1: FOLDS, 2: FOLDS * CONFIGURATIONS}  # the sweep, its folds, their configurations
    kept = dict(everything_kept(team, tmp_path / "w"))
    reports = [key for key in kept if key.startswith("artifacts/") and key.endswith("/report.html")]
    assert len(reports) == 1 and team.url.encode() in kept[reports[0]]
    for secret in [*team.secrets, member["MLFLOW_TRACKING_PASSWORD"]]:
        assert secret not in printed
        assert [name for name, content in kept.items() if secret.encode() in content] == []


_CONNECTION = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
