"""`fersweep submit`: a stage as a job on a Ray cluster."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from rich.console import Console

import distributed
import jobs
import search_spaces
import tracking
from distributed.errors import UserError
from jobs.cluster_jobs import ClusterJobs
from jobs.experiment import load_experiment
from jobs.run import STAGES
from jobs.versions import COMMIT_FILE, described_commit

# Ray takes uploads of about 100 MiB; beyond that it fails after a long while.
_UPLOAD_LIMIT = 100 << 20


def submit(stage: str, experiment: Path | None, address: str, console: Console, *, detach: bool = False) -> int:
    """Send the code and the experiment, follow the log unless `detach`, and return the job's exit code.

    Raises:
        UserError: the stage is unknown, the upload is too large, no job server answers, or a job that has not
            ended works in the same workspace.
    """
    if stage not in ("run", "demo", *STAGES):
        raise UserError(f"{stage}: no such stage; choose run, demo, {', '.join(STAGES)}")
    if (experiment is None) != (stage == "demo"):
        raise UserError(f"{stage}: give the experiment file" if experiment is None else "demo takes no file")
    workspace = load_experiment(experiment).workspace if experiment is not None else "fersweep-demo"
    with tempfile.TemporaryDirectory(prefix="fersweep-submit-") as folder:
        size = pack_upload(Path(folder), experiment)
        cluster = ClusterJobs(address)
        cluster.refuse_second(workspace)
        # A job's own folder goes when the job ends.
        arguments = [stage, "--folder $HOME/fersweep-demo"] if experiment is None else [stage, "experiment.yaml"]
        job = cluster.start(f"python -m jobs {' '.join(arguments)}", folder, workspace)
    console.print(f"job {job}: {size / 1e6:.1f} MB sent to {address}")
    if detach:
        console.print(f"follow it: fersweep jobs logs {job} --address {address}", soft_wrap=True)
        return 0
    return cluster.follow(job, console)


def pack_upload(folder: Path, experiment: Path | None) -> int:
    """Copy fersweep's packages and the checked experiment into a folder; its size in bytes.

    Raises:
        UserError: the upload is larger than Ray takes.
    """
    for package in (distributed, jobs, search_spaces, tracking):
        source = Path(str(package.__file__)).parent
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "jobs" / COMMIT_FILE).write_text(described_commit(), encoding="utf-8")
    if experiment is not None:
        (folder / "experiment.yaml").write_text(load_experiment(experiment).to_yaml(), encoding="utf-8")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if size > _UPLOAD_LIMIT:
        raise UserError(f"the upload has {size / 1e6:.0f} MB and Ray takes 100 MB; remove what is not code")
    return size
