"""Ray on this machine and elsewhere: its token, an address where nobody answers, and what its workers say."""

from __future__ import annotations

import errno
import http.server
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from distributed.cluster import (
    GRAPH_OPTIONS,
    ClusterConfig,
    errors_of_workers,
    finish,
    ray_session,
    rows_of_graph,
    total_resources,
)
from distributed.errors import UserError
from tests.sockets import not_loopback

ROOT = Path(__file__).parent.parent
JOIN = """
import sys, time
from distributed.cluster import ClusterConfig, ray_session
from distributed.errors import UserError
for address in sys.argv[1:]:
    started = time.monotonic()
    try:
        with ray_session(ClusterConfig(address=address)):
            import ray
            print("joined", ray.get_runtime_context().gcs_address)
    except UserError as error:
        print(f"{time.monotonic() - started:.0f} s: {error}")
"""
ALONE = """
import ray
from distributed.cluster import ClusterConfig, ray_session, total_resources
with ray_session(ClusterConfig(num_cpus=1)):
    print(ray.get_runtime_context().gcs_address, total_resources()[0])
"""
ASK = """
import sys
from ray._raylet import GcsClient
print(len(GcsClient(address=sys.argv[1]).get_all_node_info(timeout=10)), "nodes")
"""


def in_another_process(program: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.stdout + done.stderr


@pytest.fixture
def web_server() -> Iterator[str]:
    """The address of something that listens and is no Ray."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("shared_ray")
def test_our_ray_answers_nobody_without_its_token() -> None:
    address = ray.get_runtime_context().gcs_address
    assert "1 nodes" in in_another_process(ASK, address)
    assert "InvalidAuthToken" in in_another_process(ASK, address, RAY_AUTH_MODE="disabled")
    assert "InvalidAuthToken" in in_another_process(ASK, address, RAY_AUTH_TOKEN="0" * 64)


@pytest.mark.usefixtures("shared_ray")
def test_our_ray_is_there_for_this_machine_alone() -> None:
    """Neither its own processes, nor its workers, nor this driver, listen where others reach them."""

    @ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]
    def work() -> int:
        return os.getpid()

    worker = ray.get(work.remote())
    processes = ray._private.worker._global_node.all_processes
    pids = [started.process.pid for kind in processes.values() for started in kind]
    assert worker in {child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)}
    assert not_loopback([os.getpid(), *pids]) == set()


@pytest.mark.usefixtures("shared_ray")
def test_an_address_is_joined_and_one_where_no_cluster_answers_is_a_users_mistake(web_server: str) -> None:
    """In a process that has no Ray yet; Ray itself would wait for many minutes."""
    ours = ray.get_runtime_context().gcs_address
    silent = ["127.0.0.1:1", "ray://127.0.0.1:1", "no-such-host.invalid:6379", web_server]
    output = in_another_process(JOIN, ours, *silent, "somewhere", "127.0.0.1:99999").splitlines()
    assert output[0] == f"joined {ours}"
    for address, line in zip(silent, output[1:], strict=False):
        assert f"cluster.address is '{address}', and no Ray cluster answers there (" in line
        assert "`ray up cluster.yaml`" in line and "RAY_AUTH_TOKEN_PATH" in line
        assert int(line.split()[0]) <= 10, line
    assert "something else does" in output[4]
    assert "cluster.address is 'somewhere'; write it host:port, ray://host:port or auto" in output[5]
    assert "no Ray cluster answers there" in output[6] and len(output) == 7


@pytest.mark.usefixtures("shared_ray")
def test_a_cluster_that_nobody_asked_for_is_not_joined() -> None:
    """Ray itself would join the one that was last started on the machine, whose address it keeps in a file."""
    ours = ray.get_runtime_context().gcs_address
    with tempfile.TemporaryDirectory() as folder:  # its path is short, as that of a socket has to be
        last = Path(folder, "ray", "ray_current_cluster")
        last.parent.mkdir()
        last.write_text(ours)
        output = in_another_process(ALONE, RAY_TMPDIR=folder)
    address, cpus = output.split()
    assert address != ours and cpus == "1.0"


@pytest.mark.usefixtures("shared_ray")
def test_a_ray_that_runs_already_is_used_and_left_running() -> None:
    before = ray.get_runtime_context().gcs_address
    with ray_session(ClusterConfig(address="127.0.0.1:1")):
        assert ray.get_runtime_context().gcs_address == before
    with pytest.raises(KeyError), ray_session(ClusterConfig()):
        raise KeyError
    assert ray.is_initialized() and ray.get_runtime_context().gcs_address == before
    assert total_resources()[0] == 2.0


def test_a_setting_that_would_not_be_used_is_refused() -> None:
    with pytest.raises(ValueError, match="num_cpus is for this machine's own Ray and not used with an address"):
        ClusterConfig(address="head:6379", num_cpus=4)
    with pytest.raises(ValueError, match="dashboard is for this machine's own Ray"):
        ClusterConfig(address="head:6379", dashboard=True)


@ray.remote  # type: ignore[untyped-decorator]
def fail(kind: str) -> None:
    if kind == "user":
        raise UserError("tokens.pool: 3 does not divide 8;\nset it to space:2")
    if kind == "disk":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/shard")
    raise ZeroDivisionError("ours")


@ray.remote
class Fails:
    """A worker whose construction fails: Ray hands on the text of its error alone."""

    def __init__(self, kind: str) -> None:
        ray.get(fail.remote(kind))

    def ready(self) -> None:
        """Never."""


def construct(kind: str) -> Any:
    actor: Any = Fails
    return actor.remote(kind).ready.remote()


@pytest.mark.usefixtures("shared_ray")
def test_what_a_worker_has_for_the_user_arrives_as_it_was_said() -> None:
    wanted = "tokens.pool: 3 does not divide 8;\nset it to space:2"
    with pytest.raises(UserError) as error, errors_of_workers():
        ray.get(fail.remote("user"))
    assert str(error.value) == wanted
    with pytest.raises(UserError) as error, errors_of_workers():
        ray.get(construct("user"))
    assert str(error.value) == wanted
    with pytest.raises(UserError) as error, errors_of_workers():
        try:
            ray.get(fail.remote("user"))
        except ray.exceptions.RayTaskError as inner:
            raise RuntimeError("1 of 2 folds could not be searched") from inner
    assert str(error.value) == wanted


@pytest.mark.usefixtures("shared_ray")
def test_a_workers_full_disk_is_one_and_its_bugs_stay_bugs() -> None:
    for call in (fail.remote, construct):
        with pytest.raises(OSError, match="No space left") as error, errors_of_workers():
            ray.get(call("disk"))
        assert error.value.errno == errno.ENOSPC
        with pytest.raises(ray.exceptions.RayError, match="ZeroDivisionError: ours"), errors_of_workers():
            ray.get(call("bug"))


@pytest.mark.usefixtures("shared_ray")
def test_tasks_are_heard_as_they_end_and_a_users_error_is_raised_as_itself() -> None:
    @ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]
    def square(number: int) -> int:
        if number < 0:
            raise UserError(f"{number} is below zero")
        return number * number

    assert dict(finish({square.remote(number): number for number in range(4)})) == {0: 0, 1: 1, 2: 4, 3: 9}
    with pytest.raises(UserError, match="^-1 is below zero$"):
        list(finish({square.remote(-1): "a"}))


@pytest.mark.usefixtures("shared_ray")
def test_the_process_of_a_graph_ends_with_it_however_it_ends() -> None:
    """Its actors belong to that process, so what they hold is free for the next graph."""

    @ray.remote(**GRAPH_OPTIONS)  # type: ignore[untyped-decorator]
    def graph(error: bool | None) -> Iterator[int]:
        yield os.getpid()
        if error:
            raise UserError("the disk is full")
        time.sleep(60 if error is None else 0)

    whole = rows_of_graph(graph, False)
    process = next(whole)
    assert list(whole) == []
    failing = rows_of_graph(graph, True)
    failed = next(failing)
    with pytest.raises(UserError, match="the disk is full"):
        next(failing)
    left = rows_of_graph(graph, None)
    abandoned = next(left)
    left.close()
    gone = [psutil.Process(pid) for pid in (process, failed, abandoned) if psutil.pid_exists(pid)]
    assert not psutil.wait_procs(gone, timeout=30)[1]
