"""`make system`: nothing where all is there, one command named where it cannot install, an error on CI."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "tests" / "system-packages"


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    told = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, cwd=ROOT, env=told, check=False, capture_output=True, text=True, timeout=60)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The script as it would be on a machine without the packages, and an apt-get that cannot reach anything."""
    script = tmp_path / "system-packages"
    script.write_text(SCRIPT.read_text().replace("/usr/bin/chromium", "/nowhere/chromium").replace("initdb", "nowhere"))
    script.chmod(0o755)
    apt = tmp_path / "apt-get"
    apt.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexit 100\n')
    apt.chmod(0o755)
    return script


def test_where_all_is_there_nothing_is_asked_of_apt(tmp_path: Path) -> None:
    if not Path("/usr/bin/chromium").exists() or not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("the packages are NOT INSTALLED here: run `make system` as root")
    apt = tmp_path / "apt-get"
    apt.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\n")
    apt.chmod(0o755)
    done = run(SCRIPT, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "asked").exists()


def test_what_stays_missing_is_said_with_the_command_that_mends_it(bare: Path) -> None:
    done = run(bare, PATH=f"{bare.parent}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert "MISSING: chromium postgresql" in done.stderr
    assert "will be SKIPPED" in done.stderr and "sudo make system" in done.stderr
    asked = bare.parent / "asked"
    debian = "ID=debian" in Path("/etc/os-release").read_text().splitlines()
    assert asked.exists() == (os.geteuid() == 0 and debian)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is NOT INSTALLED")
def test_tests_go_on_without_the_packages_but_not_on_ci(bare: Path) -> None:
    makefile = bare.parent / "Makefile"
    makefile.write_text((ROOT / "Makefile").read_text().replace("tests/system-packages", str(bare)))
    path = f"{bare.parent}:{os.environ['PATH']}"
    assert run("make", "-f", makefile, "system-if-possible", PATH=path).returncode == 0
    assert run("make", "-f", makefile, "system-if-possible", PATH=path, CI="true").returncode == 2
    assert run("make", "-f", makefile, "system", PATH=path).returncode == 2
