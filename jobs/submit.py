"""`fersweep submit`: a stage as a job on a Ray cluster."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
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
_SENT = (".py", ".typed", ".safetensors", ".json")
STAGES_THERE = ("run", "demo", *STAGES, "doctor")
EXPERIMENT, ON = "experiment.yaml", "on.yaml"  # their names in the upload


@dataclass(frozen=True)
class Asked:
    """What is to be run on the cluster: a stage, its experiment with overrides, and options of the stage's own."""

    stage: str
    experiment: Path | None = None
    overrides: Sequence[str] = ()
    full_video: bool = False
    on: Path | None = None
    optimistic: bool = False

    def check(self) -> None:
        """Raise UserError for a stage that is unknown, and for what it would not use."""
        if self.stage not in STAGES_THERE:
            raise UserError(f"{self.stage}: no such stage; choose {', '.join(STAGES_THERE)}")
        if (self.experiment is None) != (self.stage == "demo"):
            raise UserError(
                f"{self.stage}: give the experiment file" if self.experiment is None else "demo takes no file"
            )
        given = {"--full-video": self.full_video, "--on": self.on is not None, "--optimistic": self.optimistic}
        for option, stage in {"--full-video": "evaluate", "--on": "evaluate", "--optimistic": "report"}.items():
            if given[option] and self.stage != stage:
                raise UserError(f"{option} is an option of {stage}, and {self.stage} is submitted; leave it out")

    @property
    def command(self) -> str:
        if self.experiment is None:  # a job's own folder goes when the job ends
            return "python -m jobs demo --folder $HOME/fersweep-demo"
        options = ["--full-video"] * self.full_video + ["--optimistic"] * self.optimistic
        options += ["--on", ON] if self.on is not None else []
        return shlex.join(["python", "-m", "jobs", self.stage, EXPERIMENT, *options])


def submit(asked: Asked, address: str, console: Console, *, detach: bool = False) -> int:
    """Send the code and the experiment, follow the log unless `detach`, and return the job's exit code.

    Raises:
        UserError: what is asked does not fit together, the upload is too large, no job server answers, or a job
            that has not ended works in the same workspace.
    """
    asked.check()
    with tempfile.TemporaryDirectory(prefix="fersweep-submit-") as folder:
        size, workspace = pack_upload(Path(folder), asked)
        cluster = ClusterJobs(address)
        if asked.stage == "doctor":  # it looks, and works nowhere
            workspace = f"(doctor) {workspace}"
        cluster.refuse_second(workspace)
        job = cluster.start(asked.command, folder, workspace)
    console.print(f"job {job}: {size / 1e6:.1f} MB sent to {address}")
    if detach:
        console.print(f"follow it: fersweep jobs logs {job} --address {address}", soft_wrap=True)
        return 0
    return cluster.follow(job, console)


def _not_ours(folder: str, names: list[str]) -> set[str]:
    """Whatever else lies among the code, a file of passwords for instance, stays here."""
    kept = {name for name in names if not name.startswith(".") and Path(name).suffix in _SENT}
    return set(names) - kept - {name for name in names if (Path(folder) / name / "__init__.py").is_file()}


def pack_upload(folder: Path, asked: Asked) -> tuple[int, str]:
    """Copy fersweep's packages and the checked experiments into a folder; its size in bytes, and the workspace.

    Raises:
        UserError: an experiment is wrong, or the upload is larger than Ray takes.
    """
    workspace = "fersweep-demo"
    for package in (distributed, jobs, search_spaces, tracking):
        source = Path(str(package.__file__)).parent
        shutil.copytree(source, folder / source.name, ignore=_not_ours)
    (folder / "jobs" / COMMIT_FILE).write_text(described_commit(), encoding="utf-8")
    if asked.experiment is not None:
        experiment = load_experiment(asked.experiment, asked.overrides)
        workspace = experiment.workspace
        (folder / EXPERIMENT).write_text(experiment.to_yaml(), encoding="utf-8")
    if asked.on is not None:
        (folder / ON).write_text(load_experiment(asked.on).to_yaml(), encoding="utf-8")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    if size > _UPLOAD_LIMIT:
        raise UserError(f"the upload has {size / 1e6:.0f} MB and Ray takes 100 MB; remove what is not code")
    return size, workspace
