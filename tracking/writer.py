"""Sends to MLflow in threads of its own, so that nobody waits for a server and none that is gone stops a sweep.

What is put is sent in order, once; neighbours that do not need each other are sent side by side. While the server
does not answer, everything waits here; what it has not taken in the end is counted and told, never lost: the
workspace holds it.
"""

import errno
import math
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from tracking.run_store import client_settings
from tracking.runs import Tracker

THREADS = 4
BATCH = 64
ATTEMPTS = 3  # with a server that answers; more would not change its mind
PAUSES = (0.2, 10.0)  # seconds between two attempts: the first, and the longest
GRACE = 5.0  # seconds in which a server that is gone may come back at the end

Job = Callable[[Tracker], object]


@dataclass
class _Waiting:
    job: Job
    together: bool
    attempts: int = 0


class Writer:
    """A queue of jobs for a tracker. `connect` opens a new one and raises where the server does not answer."""

    def __init__(self, connect: Callable[[], Tracker], say: Callable[[str], None], *, grace: float = GRACE) -> None:
        self._connect = connect
        self._say = say
        self._grace = grace
        self._tracker: Tracker | None = None
        self._jobs: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._deadline: float | None = None
        self._end = math.inf
        self._silent_since: float | None = None
        self._refused: list[str] = []
        self._bug: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="mlflow-writer", daemon=True)
        self._stack = ExitStack()

    def open(self, tracker: Tracker | None = None) -> Self:
        """Start sending, to `tracker` where one is open already."""
        self._tracker = tracker
        self._stack.enter_context(client_settings(retries=False))
        self._pool = self._stack.enter_context(ThreadPoolExecutor(THREADS, "mlflow-writer"))
        self._thread.start()
        return self

    def put(self, job: Job, *, together: bool = False) -> None:
        """Send later. A job may run more than once, so it has to find what it has done before.

        `together`: it does not need the jobs before it that are marked so too.
        """
        with self._changed:
            self._jobs.append(_Waiting(job, together))
            self._changed.notify()

    def close(self, *, at_most: float | None = None) -> int:
        """Send what waits and return how much of it MLflow did not take.

        Waits as long as the server takes what it is sent, `at_most` so many seconds, and `grace` seconds for one that
        is gone. Raises what a job raised that has nothing to do with MLflow.
        """
        with self._changed:
            self._deadline = time.monotonic() + self._grace
            if at_most is not None:
                self._end = time.monotonic() + at_most
            self._changed.notify()
        self._thread.join(at_most)
        if self._thread.is_alive():  # in a request that nobody answers
            self._pool.shutdown(wait=False, cancel_futures=True)
            return len(self._jobs) + len(self._refused)
        self._stack.close()
        if self._bug is not None:
            raise self._bug
        for reason in sorted(set(self._refused)):
            self._say(f"MLflow refused {self._refused.count(reason)} results: {reason}")
        return len(self._jobs) + len(self._refused)

    def _work(self) -> None:
        pause = PAUSES[0]
        while (batch := self._next()) and self._bug is None:
            error = self._send(batch)
            if error is None:
                pause = PAUSES[0]
                continue
            if self._deadline is not None and time.monotonic() > self._deadline:
                return
            with self._changed:
                self._changed.wait_for(lambda: self._deadline is not None, timeout=pause)
            if self._deadline is not None:
                time.sleep(PAUSES[0])  # nobody else waits any longer: try again soon
            pause = min(2 * pause, PAUSES[1])

    def _next(self) -> list[_Waiting]:
        """The first job, with those after it that may run beside it; none once everything is sent."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._deadline is not None)
            batch: list[_Waiting] = []
            if time.monotonic() > self._end:
                return batch
            for waiting in self._jobs:
                if batch and (len(batch) == BATCH or not (waiting.together and batch[0].together)):
                    break
                batch.append(waiting)
            return batch

    def _send(self, batch: list[_Waiting]) -> BaseException | None:
        """Run the batch and take what succeeded out of the queue; one of the errors, if there were any."""
        opened = self._pool.submit(self._open)
        if (problem := opened.exception()) is not None:
            self._lost(problem)
            return problem
        futures = [self._pool.submit(waiting.job, opened.result()) for waiting in batch]
        errors = [future.exception() for future in futures]
        failed = [(waiting, error) for waiting, error in zip(batch, errors, strict=True) if error is not None]
        with self._changed:
            for _ in batch:
                self._jobs.popleft()
        if not failed:
            self._back()
            return None
        self._judge(failed, opened.result())
        return failed[0][1]

    def _judge(self, failed: list[tuple[_Waiting, BaseException]], tracker: Tracker) -> None:
        """Put back what may be tried again."""
        answers = tracker.problem() is None
        again = []
        for waiting, error in failed:
            waiting.attempts += answers
            if _is_a_bug(error):
                self._bug = error
            elif waiting.attempts >= ATTEMPTS:
                self._refused.append(_in_a_line(error))
            else:
                again.append(waiting)
        with self._changed:
            self._jobs.extendleft(reversed(again))
        tracker.forget()  # an answer may have been lost: look what is there before anything is made again
        if not answers:
            self._lost(failed[0][1])

    def _open(self) -> Tracker:
        if self._tracker is None:
            self._tracker = self._connect()
        return self._tracker

    def _lost(self, error: BaseException) -> None:
        if self._silent_since is None:
            self._silent_since = time.monotonic()
            self._say(
                f"MLflow does not answer ({_in_a_line(error)}); the work goes on, and its results stay in the workspace"
            )

    def _back(self) -> None:
        if self._silent_since is not None:
            self._say(f"MLflow answers again after {time.monotonic() - self._silent_since:.0f} s")
            self._silent_since = None


def _is_a_bug(error: BaseException) -> bool:
    """Whether it comes from the job itself: libraries raise classes of their own, networks and disks an OSError."""
    return type(error).__module__ == "builtins" and not isinstance(error, OSError)


def _in_a_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and not error.filename:
        text += f", where MLflow's files are or in {tempfile.gettempdir()}, which TMPDIR moves"
    return text if len(text) <= 200 else f"{text[:200]} ..."
