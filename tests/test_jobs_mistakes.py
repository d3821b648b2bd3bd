"""A user's mistake and a full disk are one message and exit code 2; a bug keeps its traceback."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack

import pytest

from distributed.errors import UserError
from jobs.mistakes import explain


def test_a_full_disk_in_whatever_words_is_one_message_and_a_bug_keeps_its_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for error in (OSError(28, "No space left on device"), RuntimeError("(sqlite3) database or disk is full")):
        with pytest.raises(SystemExit) as end, ExitStack() as stack:
            stack.push(explain)
            try:
                raise error
            except (OSError, RuntimeError) as inner:
                raise KeyError("what came of it") from inner
        assert end.value.code == 2
        text = capsys.readouterr().err
        assert text.startswith("fersweep: no space left on the disk; free some, or set workspace (TMPDIR, ")
    with pytest.raises(SystemExit), ExitStack() as stack:
        stack.push(explain)
        raise OSError(28, "No space left on device", "/ws/pack")
    assert "no space left on the disk for /ws/pack; free some" in capsys.readouterr().err
    with pytest.raises(KeyError), ExitStack() as stack:
        stack.push(explain)
        raise KeyError("ours")
    assert capsys.readouterr().err == ""


def test_a_users_mistake_is_its_message_and_an_interruption_says_how_to_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end, ExitStack() as stack:
        stack.push(explain)
        raise UserError("data.root: [there] is none")
    assert end.value.code == 2
    assert capsys.readouterr().err == "fersweep: data.root: [there] is none\n"
    with pytest.raises(SystemExit) as end, ExitStack() as stack:
        stack.push(explain)
        raise SystemExit(130)
    assert end.value.code == 130
    assert "the same command goes on from there" in capsys.readouterr().err


SILENT = """
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from jobs.mistakes import end_on_sigterm, explain
with ExitStack() as stack:
    stack.push(explain)
    stack.enter_context(end_on_sigterm())
    ThreadPoolExecutor().submit(threading.Event().wait)  # a request that nobody answers
    try:
        print("at work", flush=True)
        threading.Event().wait()
    finally:
        print("all is closed")
"""


def test_sigterm_closes_everything_and_waits_for_nobody() -> None:
    process = subprocess.Popen([sys.executable, "-c", SILENT], stdout=-1, stderr=-1, text=True)
    assert process.stdout is not None and process.stdout.readline() == "at work\n"
    process.terminate()
    output, error = process.communicate(timeout=20)
    assert process.returncode == 143 and output == "all is closed\n"
    text = "told to end (SIGTERM); what is finished is kept, and the same command goes on from there"
    assert error == f"fersweep: {text}\n"
