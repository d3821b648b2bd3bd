"""`fersweep jobs`: the jobs of a Ray cluster, listed, followed and stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient
from rich.console import Console
from rich.prompt import Confirm
from rich.table import Table

from distributed.errors import UserError

_WORKSPACE = "fersweep.workspace"
_STOPPING_S = 60.0


class ClusterJobs:
    """The job server of a cluster.

    Raises UserError when none answers at the address, or it does not take the token.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        try:
            self._client = JobSubmissionClient(address)
        except (ConnectionError, RuntimeError, AuthenticationError) as error:
            raise UserError(
                f"--address {address}: no Ray job server answers ({error}); is the cluster up, and does "
                "RAY_AUTH_TOKEN_PATH name its token?"
            ) from error

    def start(self, entrypoint: str, folder: str, workspace: str) -> str:
        """Start a command in a copy of a folder; the job's name."""
        environment = {"working_dir": folder}
        return str(
            self._client.submit_job(entrypoint=entrypoint, runtime_env=environment, metadata={_WORKSPACE: workspace})
        )

    def ours(self) -> list[JobDetails]:
        """The jobs that fersweep has submitted, newest first."""
        jobs = [job for job in self._client.list_jobs() if _WORKSPACE in (job.metadata or {})]
        return sorted(jobs, key=lambda job: -(job.start_time or 0))

    def refuse_second(self, workspace: str) -> None:
        """Raise UserError while a job that has not ended works in the same workspace."""
        for job in self.ours():
            if not job.status.is_terminal() and job.metadata[_WORKSPACE] == workspace:
                raise UserError(
                    f"{workspace}: the job {job.submission_id} works in this workspace already; follow it with "
                    f"`fersweep jobs logs {job.submission_id}`, or end it with `fersweep jobs stop {job.submission_id}`"
                )

    def follow(self, job: str, console: Console) -> int:
        """Print the log from its beginning until the job ends, then how it ended; its exit code.

        Ctrl-C asks whether to stop the job too; where nobody can be asked it goes on.
        """
        try:
            asyncio.run(_print_lines(self._client.tail_job_logs(job), console))
        except KeyboardInterrupt:
            text = f"\nstop the job {job} on the cluster too?"
            if console.is_terminal and Confirm.ask(text, console=console, default=False):
                return self.stop(job, console)
            console.print(
                f"job {job} goes on; follow it: fersweep jobs logs {job} --address {self.address}", soft_wrap=True
            )
            raise
        return self._ended(job, console)

    def stop(self, job: str, console: Console) -> int:
        """Stop a job, wait until it has ended, and say how; 0."""
        self._known(job)
        self._client.stop_job(job)
        deadline = time.monotonic() + _STOPPING_S
        while not self._client.get_job_status(job).is_terminal():
            if time.monotonic() > deadline:
                raise UserError(f"job {job} was told to stop and has not within {_STOPPING_S:.0f} s; ask again later")
            time.sleep(0.5)
        self._ended(job, console)
        return 0

    def logs(self, job: str, console: Console) -> int:
        """Follow a job that was submitted before."""
        self._known(job)
        return self.follow(job, console)

    def table(self) -> Table:
        """A row per job of fersweep's: name, state, when it began, what it runs and where."""
        table = Table()
        for column in ("job", "state", "began", "command", "workspace"):
            table.add_column(column, overflow="fold")
        for job in self.ours():
            began = time.strftime("%Y-%m-%d %H:%M", time.localtime((job.start_time or 0) / 1000))
            command = job.entrypoint.replace("python -m jobs", "fersweep")
            row = (str(job.submission_id), job.status.value.lower(), began, command, job.metadata[_WORKSPACE])
            table.add_row(*row)
        return table

    def _known(self, job: str) -> None:
        names = [str(one.submission_id) for one in self.ours()]
        if job not in names:
            raise UserError(f"{job}: no such job at {self.address}; there are {', '.join(names) or 'none'}")

    def _ended(self, job: str, console: Console) -> int:
        details = self._client.get_job_info(job)
        console.print(f"job {job}: {details.status.value.lower()}")
        code = details.driver_exit_code
        return int(code) if code is not None else int(details.status.value != "SUCCEEDED")


async def _print_lines(lines: AsyncIterator[str], console: Console) -> None:
    async for line in lines:
        console.print(line, end="", markup=False, soft_wrap=True)
