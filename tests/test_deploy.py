"""The files of deploy/: versions pinned, loopback alone, no secret, and the commands those that are tested."""

from __future__ import annotations

import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.team_server import BUCKET, DEPLOY, read_env, secret_names, unit_lines

ROOT = DEPLOY.parent.parent
SERVICES: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
PINNED = re.compile(r"[\w./-]+:\d+\.\d+[\w.-]*$")


def test_every_image_is_pinned() -> None:
    bases = re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    images = [service["image"] for service in SERVICES.values()] + bases
    assert len(images) == len(SERVICES) + 1
    assert [image for image in images if not PINNED.match(image)] == []


def test_the_server_in_the_image_is_the_version_that_the_tests_run_with() -> None:
    pins = (ROOT / "constraints.txt").read_text()
    assert f"mlflow=={SERVICES['mlflow']['image'].split(':')[1]}\n" in pins
    install = re.search(r"--constraint \S+ \\\n\s+(.+) \\", (DEPLOY / "Dockerfile").read_text())
    assert install is not None
    for package in install[1].split():
        assert re.search(rf"^{package}==", pins, re.MULTILINE | re.IGNORECASE), f"{package} is not in constraints.txt"


def test_ports_are_published_on_loopback_alone() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:5000:5000"]
    assert {name for name, service in SERVICES.items() if "outside" in service["networks"]} == {"mlflow"}
    assert "--host 127.0.0.1 " in unit_lines("ExecStart")[0]


def test_no_file_holds_a_secret_and_every_one_must_be_given() -> None:
    names = secret_names()
    assert len(names) == 5 and all(re.search("PASSWORD|KEY", name) for name in names)
    for service in SERVICES.values():
        for name, value in service["environment"].items():
            if re.search("PASSWORD|SECRET|ACCESS_KEY", name):
                assert re.fullmatch(r"\$\{\w+:\?\}", value), f"{name} is written into compose.yaml"
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    assert asked <= set(read_env(DEPLOY / "mlflow.env.example"))
    ignored = subprocess.run(["git", "check-ignore", "-q", "deploy/mlflow/mlflow.env"], cwd=ROOT, check=False)
    assert ignored.returncode == 0, "mlflow.env could be committed"
    for path in DEPLOY.iterdir():
        assert not re.search(r"://[^/\s@]+:[^/\s@]+@", path.read_text()), f"{path.name} has a password in an address"


def test_new_secrets_are_long_distinct_private_and_never_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "mlflow.env"
    command = [DEPLOY / "new-env", target]
    subprocess.run(command, check=True, capture_output=True)
    told = read_env(target)
    secrets = [told[name] for name in secret_names()]
    assert all(re.fullmatch("[0-9a-f]{48}", secret) for secret in secrets) and len(set(secrets)) == len(secrets)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    before = target.read_text()
    again = subprocess.run(command, check=False, capture_output=True, text=True)
    assert again.returncode == 1 and "is there already and is kept" in again.stderr
    assert target.read_text() == before


def test_every_service_is_watched_and_starts_again() -> None:
    for name, service in SERVICES.items():
        assert service["healthcheck"]["test"] and service["restart"] == "unless-stopped", name
    assert {need["condition"] for need in SERVICES["mlflow"]["depends_on"].values()} == {"service_healthy"}
    assert f"-bucket={BUCKET}" in SERVICES["objects"]["command"]
    assert read_env(DEPLOY / "mlflow.env.example")["MLFLOW_ARTIFACTS_DESTINATION"].startswith(f"s3://{BUCKET}/")


def test_compose_and_systemd_start_the_same_server_with_authentication() -> None:
    program, *unit = shlex.split(unit_lines("ExecStart")[0])
    compose = shlex.split(SERVICES["mlflow"]["command"])
    assert [word.replace("0.0.0.0", "127.0.0.1") for word in compose] == unit
    assert "--app-name basic-auth" in " ".join(unit) and program.endswith("/.venv/bin/mlflow")
    told = {item.split("=", 1)[0] for line in unit_lines("Environment") for item in shlex.split(line)}
    needed = set(SERVICES["mlflow"]["environment"]) - {"PGHOST"}
    assert needed - told - set(read_env(DEPLOY / "mlflow.env.example")) == set()


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """With the program where this machine has it: systemd looks whether it is there."""
    text = (DEPLOY / "fersweep-mlflow.service").read_text()
    assert re.findall(r"^\[(\w+)\]$", text, re.MULTILINE) == ["Unit", "Service", "Install"]
    for line in text.splitlines():
        assert re.fullmatch(r"(#.*|\[\w+\]|[A-Z]\w+=.*|)", line), f"no line of a unit: {line}"
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed, so the unit is checked by its lines alone")
    unit = tmp_path / "fersweep-mlflow.service"
    unit.write_text(
        text.replace("/opt/fersweep/.venv/bin/mlflow", sys.executable).replace("/usr/bin/curl", "/bin/true")
    )
    done = subprocess.run(["systemd-analyze", "verify", unit], check=False, capture_output=True, text=True)
    assert done.returncode == 0 and unit.name not in done.stderr, done.stderr
