"""Jobs on a real Ray head: listed, followed to their exit code, stopped, and never two in one workspace."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from distributed.errors import UserError
from jobs.cluster_jobs import ClusterJobs
from tests.cluster_head import Head
from tests.conftest import WriteVideo
from tests.pseudo_terminal import CTRL_C, Terminal, on_terminal
from tests.small_road import finish, write_experiment, write_faces

START = """
import sys, tempfile
from jobs.cluster_jobs import ClusterJobs
cluster = ClusterJobs(sys.argv[1])
for workspace, command in zip(sys.argv[2::2], sys.argv[3::2]):
    with tempfile.TemporaryDirectory() as folder:
        print(cluster.start(command, folder, workspace))
"""
ROOT = Path(__file__).parent.parent


def start_jobs(head: Head, *arguments: str) -> list[str]:
    command = [sys.executable, "-c", START, head.address, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=head.environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def ask_to_stop(terminal: Terminal, job: str, answer: str) -> None:
    terminal.wait_for("begun")
    terminal.type(CTRL_C)
    terminal.wait_for(f"stop the job {job} on the cluster too? [y/n] (n)")
    terminal.type(answer)


def test_jobs_are_listed_followed_stopped_and_alone_in_their_workspace(
    tmp_path: Path, write_video: WriteVideo, head: Head
) -> None:
    videos = write_faces(tmp_path / "videos", write_video, actors=range(1, 2), emotions=range(1, 2))
    experiment, workspace = write_experiment(tmp_path, videos), str(tmp_path / "workspace")
    sleeping = "sh -c 'echo begun; sleep 300'"
    long, short = start_jobs(head, workspace, sleeping, "/elsewhere", "sh -c 'echo hello; exit 3'")

    code, output = finish(head.fersweep("jobs", "logs", short))
    assert code == 3 and "hello" in output and f"job {short}: failed" in output

    code, output = finish(head.fersweep("submit", "index", experiment))
    assert code == 2, output
    assert f"{workspace}: the job {long} works in this workspace already" in output.replace("\n", " ")

    follower = head.fersweep("jobs", "logs", long)
    assert follower.stdout is not None and any("begun" in line for line in follower.stdout)
    follower.send_signal(signal.SIGINT)  # nobody can be asked in a pipe
    code, output = finish(follower)
    assert code == 130 and f"job {long} goes on" in output

    code, output = finish(head.fersweep("jobs", "list"))
    assert code == 0
    assert "running" in output and "failed" in output and "begun" in output

    with on_terminal(head.command("jobs", "logs", long), head.environment) as terminal:
        ask_to_stop(terminal, long, "\n")  # Enter alone leaves it running
        assert terminal.end() == 130 and f"job {long} goes on" in terminal.screen
    with on_terminal(head.command("jobs", "logs", long), head.environment) as terminal:
        ask_to_stop(terminal, long, "y\n")
        assert terminal.end() == 0 and f"job {long}: stopped" in terminal.screen
    assert "Traceback" not in terminal.screen

    (idle,) = start_jobs(head, "/elsewhere", "sleep 300")
    code, output = finish(head.fersweep("jobs", "stop", idle))
    assert code == 0 and f"job {idle}: stopped" in output
    code, output = finish(head.fersweep("jobs", "stop", "nothing"))
    assert code == 2 and "nothing: no such job at" in output and short in output

    code, output = finish(head.fersweep("submit", "index", experiment, "--detach"))
    assert code == 0, output
    assert f"--address {head.address}" in output and "fersweep jobs logs" in output


def test_where_no_job_server_answers_the_address_is_named() -> None:
    with pytest.raises(UserError, match=r"--address http://127\.0\.0\.1:1: no Ray job server answers"):
        ClusterJobs("http://127.0.0.1:1")
