"""Starting Ray here, joining a cluster, and workers' errors without their wrapping."""

from __future__ import annotations

import errno
import importlib
import os
import subprocess
import sys

import pytest
import ray

from distributed.cluster import ClusterConfig, errors_of_workers, ray_session, total_resources
from distributed.errors import UserError


@ray.remote  # type: ignore[untyped-decorator]
def fail(kind: str) -> None:
    if kind == "user":
        raise UserError("clips.segments is 0; it must be at least 1")
    if kind == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", "shard")
    raise KeyError("ours")


@pytest.mark.usefixtures("shared_ray")
def test_a_running_ray_is_used_and_left_running() -> None:
    with ray_session(ClusterConfig(num_cpus=1)):
        assert total_resources() == (2.0, 0.0)  # the shared one, not one of a single CPU
    assert ray.is_initialized()


@pytest.mark.usefixtures("shared_ray")
def test_connections_need_the_token() -> None:
    """By Ray's own account, not only by the variable that asks for them."""
    raylet = importlib.import_module("ray._raylet")

    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert raylet.get_authentication_mode() == raylet.AuthenticationMode.TOKEN


@pytest.mark.usefixtures("shared_ray")
def test_what_a_worker_has_for_the_user_comes_back_as_itself() -> None:
    with pytest.raises(UserError) as mistake, errors_of_workers():
        ray.get(fail.remote("user"))
    assert str(mistake.value) == "clips.segments is 0; it must be at least 1"
    with pytest.raises(OSError, match="No space left") as full, errors_of_workers():
        ray.get(fail.remote("disk"))
    assert full.value.errno == errno.ENOSPC
    with pytest.raises(ray.exceptions.RayTaskError, match="ours"), errors_of_workers():
        ray.get(fail.remote("bug"))


def test_an_address_where_nothing_answers_names_the_key() -> None:
    """In a process of its own, since the shared Ray would be used."""
    program = (
        "from distributed.cluster import ClusterConfig, ray_session\n"
        "with ray_session(ClusterConfig(address='127.0.0.1:1')): pass\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert "UserError: cluster.address is '127.0.0.1:1', and no Ray cluster answers there" in done.stderr
