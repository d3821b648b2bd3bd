"""Starting Ray on this machine, or joining the cluster that is named."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from pydantic import BaseModel, ConfigDict, Field

from distributed.errors import UserError


class ClusterConfig(BaseModel):
    """Where Ray runs: on this machine without an address."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    address: str | None = None
    num_cpus: int | None = Field(None, ge=1, description="processors to use on this machine; all by default")


@contextmanager
def ray_session(config: ClusterConfig) -> Iterator[None]:
    """Ray for the length of the block; one that runs already in this process is used and left running.

    Raises:
        UserError: there is no cluster at the address.
    """
    if ray.is_initialized():
        yield
        return
    # Inside a submitted job Ray names the cluster in RAY_ADDRESS.
    address = config.address or ("auto" if "RAY_ADDRESS" in os.environ else None)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        options |= {"num_cpus": config.num_cpus, "include_dashboard": False}
    try:
        ray.init(address=address, **options)
    except ConnectionError as error:
        raise UserError(
            f"cluster.address is {address!r}, and no Ray cluster answers there ({error}); start one with "
            "`ray up cluster.yaml`, or remove the key to work on this machine"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def errors_of_workers() -> Iterator[None]:
    """Raise what a worker has for the user (its UserError, a full disk) as itself, without Ray's wrapping."""
    try:
        yield
    except ray.exceptions.RayError as error:
        cause: BaseException | None = error
        while cause is not None:
            cause = getattr(cause, "cause", None) or cause.__cause__
            if isinstance(cause, UserError) or (isinstance(cause, OSError) and cause.errno == errno.ENOSPC):
                raise cause from None
        raise


def total_resources() -> tuple[float, float]:
    """CPUs and GPUs of the whole cluster."""
    resources = ray.cluster_resources()
    return float(resources.get("CPU", 1.0)), float(resources.get("GPU", 0.0))
