"""Starting Ray on this machine, or joining the cluster that is named."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import threading
import traceback
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Self, TypeVar

import ray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from ray._private import ray_constants
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from distributed.errors import UserError
from distributed.placement import nodes

T = TypeVar("T")
GRAPH_OPTIONS: dict[str, Any] = {"num_cpus": 0, "max_calls": 1, "max_retries": 0, "num_returns": "streaming"}


class ClusterConfig(BaseModel):
    """Where Ray runs: on this machine without an address."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    address: str | None = None
    num_cpus: int | None = Field(None, ge=1, description="processors to use on this machine; all by default")
    dashboard: bool = Field(False, description="Ray's dashboard on this machine's loopback, while a command runs")

    @model_validator(mode="after")
    def _all_is_used(self) -> Self:
        for name in ("num_cpus", "dashboard"):
            if self.address is not None and getattr(self, name):
                raise ValueError(f"{name} is for this machine's own Ray and not used with an address; remove one")
        return self


@contextmanager
def ray_session(config: ClusterConfig) -> Iterator[None]:
    """Ray for the length of the block; one that runs already in this process is used and left running.

    Raises:
        UserError: there is no cluster at the address, or it does not take this machine's token.
    """
    if ray.is_initialized():
        yield
        return
    # Inside a submitted job Ray names the cluster in RAY_ADDRESS. Asked for nothing, Ray itself would join whatever
    # cluster was last started on this machine, somebody else's as well.
    address = config.address or ("auto" if "RAY_ADDRESS" in os.environ else "local")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        options |= {"num_cpus": config.num_cpus, "include_dashboard": config.dashboard}
    else:
        _refuse_silence(address)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        with _on_loopback() if address == "local" or _is_on_loopback(address) else nullcontext():
            ray.init(address=address, **options)
    except ConnectionError as error:
        raise _no_cluster(address, error) from error
    if callable(on_sigterm) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_sigterm)  # Ray has put its own in its place
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _on_loopback() -> Iterator[None]:
    """A Ray that starts here listens on loopback alone: Ray's own rule on macOS and Windows, and here on Linux too.

    Asked for the address 127.0.0.1, Ray takes that by which others reach the machine.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _is_on_loopback(address: str) -> bool:
    """Whether what is named by a loopback address answers there alone, as the Ray of another command does."""
    host, _, port = address.rpartition(":")
    if host not in ("127.0.0.1", "localhost", "[::1]"):
        return False
    try:
        socket.create_connection((ray.util.get_node_ip_address(), int(port)), timeout=10).close()
    except OSError:
        return True
    return False


def _refuse_silence(address: str) -> None:
    """Ray itself asks for many minutes where nobody answers, or somebody who is no Ray cluster."""
    if address in ("auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"cluster.address is {address!r}; write it host:port, ray://host:port or auto")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=10) as connection:
            if os.environ.get("RAY_USE_TLS", "0") != "0":  # it speaks after a handshake alone
                return
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")  # how every gRPC connection begins
            frame = connection.recv(4)
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error
    if frame[3:] != b"\x04":  # a frame of settings
        raise _no_cluster(address, ValueError("something else does; the port of a job server is another one"))


def _no_cluster(address: str, error: Exception) -> UserError:
    return UserError(
        f"cluster.address is {address!r}, and no Ray cluster answers there ({error}); start one with "
        "`ray up cluster.yaml`, let RAY_AUTH_TOKEN_PATH name its token, or remove the key to work on this machine"
    )


def is_for_the_user(error: BaseException | None) -> bool:
    """Whether it is a UserError or a full disk: what the user mends, and another attempt does not."""
    return isinstance(error, UserError) or (isinstance(error, OSError) and error.errno == errno.ENOSPC)


@contextmanager
def errors_of_workers() -> Iterator[None]:
    """Raise what a worker has for the user (its UserError, a full disk) as itself, without Ray's wrapping."""
    try:
        yield
    except (ray.exceptions.RayError, RuntimeError) as error:
        cause: BaseException | None = error
        while cause is not None:
            cause = getattr(cause, "cause", None) or cause.__cause__
            if is_for_the_user(cause) and not isinstance(cause, ray.exceptions.RayError):
                raise cause from None  # type: ignore[misc]
        # On the way from process to process causes of causes are lost; their words are in the traceback's text.
        text = "".join(traceback.format_exception(error))
        if told := re.search(rf"^{UserError.__module__}\.UserError: (.+?)\n(?=\s*\n|\S+: |\Z)", text, re.M | re.S):
            raise UserError(told[1]) from None
        no_space = os.strerror(errno.ENOSPC)
        if no_space in text:
            named = re.search(rf"{no_space}: '([^']+)'", text)
            raise OSError(errno.ENOSPC, no_space, named[1] if named else None) from None
        raise


def total_resources() -> tuple[float, float]:
    """CPUs and GPUs for work that the whole cluster has, or can have; raises UserError where there is no CPU."""
    found = nodes()
    return sum(node.cpus for node in found), sum(node.gpus for node in found)


def beside_the_driver() -> NodeAffinitySchedulingStrategy:
    """For what only controls: it stays on the driver's node, a head for instance, while others come and go."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def rows_of_graph(graph: Any, *arguments: Any) -> Generator[Any]:
    """What a graph of Ray Data yields, run by a remote generator on this node in a process of its own.

    `graph` is declared with GRAPH_OPTIONS. However this ends, its process ends, and its actors with it: after an
    error Ray Data can leave actors alive for as long as the process lives that started them, and they would hold
    the CPUs that the next graph waits for.
    """
    rows = graph.options(scheduling_strategy=beside_the_driver()).remote(*arguments)
    try:
        with errors_of_workers():
            for row in rows:
                yield ray.get(row)
    finally:
        ray.cancel(rows, force=True)


def finish(running: Mapping[Any, T]) -> Iterator[tuple[T, Any]]:
    """What stands behind each task and what the task gave, as they end; a user's error is raised as itself."""
    left = dict(running)
    while left:
        (ended, *_), _ = ray.wait(list(left), num_returns=1)
        with errors_of_workers():
            given = ray.get(ended)
        yield left.pop(ended), given
