"""What a machine, a workspace and a cluster are fit for, each as one line with the fix: the checks of the doctor."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import psutil
import pyarrow as pa
import ray
import torch
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from distributed.clips import ClipsConfig
from distributed.cluster import ClusterConfig, ray_session, total_resources
from distributed.decoding import DecodedVideo, Decoder, DecodingConfig
from distributed.encoders import EncoderConfig, check_weights, encoder_spec
from distributed.errors import UserError
from distributed.placement import LABEL, declared_nodes, offered
from distributed.storage import Storage
from distributed.video_folder import VideoFolder

State = Literal["ok", "warning", "error"]
_FEW_BYTES = 5 << 30
# Tokens, Ray's signatures and MLflow's times need clocks that agree; minutes apart they no longer do.
_SKEW_S = 60.0


@dataclass(frozen=True)
class Check:
    """One line of the doctor: what was looked at, how it is, and what to do where it is not well."""

    name: str
    state: State
    text: str
    fix: str = ""


def check_machine() -> Iterator[Check]:
    """Python, processors, memory and the devices that torch finds on this machine."""
    memory = psutil.virtual_memory()
    text = f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {memory.available / 2**30:.1f} GiB free"
    little = memory.available < _FEW_BYTES
    fix = "close other programs: Ray, MLflow and one encoder need about 5 GiB" if little else ""
    yield Check("machine", "warning" if little else "ok", text, fix)
    if not torch.cuda.is_available():
        fix = "for a GPU, install the build of torch that fits its driver"
        yield Check("device", "warning", f"torch {torch.__version__} finds no GPU: encoders run on the CPU", fix)
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        device = torch.cuda.get_device_properties(number)
        yield Check("device", "ok", f"{device.name}, {device.total_memory / 2**30:.0f} GiB, torch {torch.__version__}")


def check_decoder() -> Check:
    """Write a short H.264 video and decode it, in the process that decodes in an embedding too."""
    with tempfile.TemporaryDirectory(prefix="fersweep-doctor-") as folder:
        path = Path(folder) / "video.mp4"
        brightness = 40
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=Fraction(30))
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            for _ in range(16):
                picture = np.full((64, 64, 3), brightness, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        with Decoder(DecodingConfig()) as decoder:
            found = decoder.decode(str(path), ClipsConfig(1, 8, 2), short_side=32)
    fix = "install fersweep again with the versions of constraints.txt"
    if not isinstance(found, DecodedVideo):
        return Check("decoder", "error", f"a fresh H.264 video does not decode: {found.reason}", fix)
    error = float(np.abs(found.frames.astype(float) - brightness).mean())
    if found.num_frames != 16 or error > 4:
        return Check("decoder", "error", f"16 grey frames came back as {found.num_frames}, off by {error:.1f}", fix)
    return Check("decoder", "ok", "an H.264 video decodes to the frames that were written")


def check_storage(name: str, location: str) -> Iterator[Check]:
    """Whether a folder or URI takes a file and gives it back, how much room it has, and what its clock says.

    A folder that is not there yet is made; the file is removed again.
    """
    probe = f"doctor-{uuid.uuid4().hex}"
    try:
        storage = Storage.at(location)
        began = time.time()
        storage.write_bytes(probe, probe.encode())
        same, written = storage.read_bytes(probe) == probe.encode(), storage.modified(probe)
        storage.delete(probe)
    except (UserError, OSError, pa.ArrowException) as error:
        yield Check(name, "error", f"{location}: {error}", "correct the address, or your rights there")
        return
    if not same:
        yield Check(name, "error", f"{location}: a file came back changed", "use another place")
        return
    yield Check(name, "ok", f"{storage.uri} can be written and read")
    if storage.local_path is not None:
        yield _room(name, storage.local_path)
    elif abs(written - began) > _SKEW_S:
        text = f"its clock and this machine's are {abs(written - began):.0f} s apart"
        yield Check(name, "warning", text, "set the clock of this machine (NTP)")


def _room(name: str, folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    fix = "free some, or choose another workspace" if free < _FEW_BYTES else ""
    return Check(name, "warning" if fix else "ok", f"{free / 1e9:.1f} GB of disk are free there", fix)


def check_videos(root: str) -> Check:
    """Whether the folder of the videos is there."""
    try:
        there = VideoFolder.at(root).is_folder
    except UserError as error:
        return Check("videos", "error", str(error))
    if not there:
        return Check("videos", "error", f"{root} is not a folder", "correct data.root")
    return Check("videos", "ok", f"{root} is there")


def check_encoder(config: EncoderConfig) -> Check:
    """Whether the weights are those of the encoder, all of them and finite, and their hash."""
    try:
        check_weights(config)
        spec = encoder_spec(config)
    except UserError as error:
        return Check("encoder", "error", str(error))
    return Check("encoder", "ok", f"{spec.name}: weights with sha256 {spec.sha256[:16]}… fit")


@ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]
def _clock_there() -> float:
    return time.time()


def _seconds_apart(node: str) -> float:
    """How far the clock of a node is from this machine's, beyond what asking takes."""
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    before = time.time()
    clock = ray.get(_clock_there.options(scheduling_strategy=there).remote(), timeout=120)
    return float(max(before - clock, clock - time.time(), 0.0))


def check_ray(config: ClusterConfig) -> Iterator[Check]:
    """Whether a Ray starts here or answers at its address and takes the token, what it has, and its nodes' clocks."""
    try:
        with ray_session(config):
            cpus, gpus = total_resources()
            there = [node for node in ray.nodes() if node["Alive"]]
            apart = {node["NodeManagerHostname"]: _seconds_apart(node["NodeID"]) for node in there}
            strange = [node["NodeManagerHostname"] for node in there if _is_not_promised(node, there)]
    except (UserError, ray.exceptions.RayError) as error:
        yield Check("ray", "error", str(error), "start the cluster, or name its token with RAY_AUTH_TOKEN_PATH")
        return
    where = config.address or "a Ray of this machine"
    yield Check("ray", "ok", f"{where} ran a task on each node: {len(there)} nodes, {cpus:g} CPUs, {gpus:g} GPUs")
    for name, seconds in apart.items():
        if seconds > _SKEW_S:
            text = f"the clock of {name} is {seconds:.0f} s apart"
            yield Check("ray", "warning", text, "set the clocks of all nodes (NTP)")
    for name in strange:
        text = f"{name} has other CPUs or GPUs than the labels of the head say that nodes have"
        yield Check("ray", "warning", text, f"correct the labels {LABEL}..., which sizes of trials follow from")


def _is_not_promised(node: Mapping[str, Any], there: Sequence[Mapping[str, Any]]) -> bool:
    promised = [kind for one in there for kind in declared_nodes(one["Labels"])]
    return bool(promised) and bool(offered(node).cpus) and offered(node) not in promised


def check_job_server(address: str) -> Check:
    """Whether a job server answers at an address and takes the token."""
    try:
        # Its `get_version` is that of the interface, not of Ray.
        version = JobSubmissionClient(address)._do_request("GET", "/api/version").json()["ray_version"]
    except (ConnectionError, RuntimeError, AuthenticationError, ValueError, KeyError) as error:
        fix = "is the cluster up, its tunnel open (`ray dashboard cluster.yaml`), and RAY_AUTH_TOKEN_PATH set?"
        return Check("jobs", "error", f"no Ray job server answers at {address}: {error}", fix)
    if version != ray.__version__:
        text = f"{address} runs version {version} of Ray, this machine {ray.__version__}"
        return Check("jobs", "warning", text, "install the same version on both")
    return Check("jobs", "ok", f"{address} takes jobs, Ray {version} like here")
