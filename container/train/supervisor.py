"""Process 1 of a training container: starts the toolkit and does for it what process 1 owes.

* T11: passes SIGTERM and SIGINT on to the user's script, every rank of it once, and waits for the checkpoint. The
  toolkit as process 1 would ignore SIGTERM, and 120 s later SIGKILL would take the work with it.
* T9, T15: clears an old verdict, passes stderr on as it comes while keeping the last of it, and writes
  /opt/ml/output/failure from that.
* Reaps orphans, and leaves no process behind.

Exit code: that of the script; 128 + N if signal N ended it; 1 for a job that could not start.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from container.train import failure, jobdir, processes

FORWARDED = (signal.SIGTERM, signal.SIGINT)
TAIL_BYTES = 256 * 1024
POLL_SECONDS = 0.2  # while a stop is pending: scripts may still be starting
PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


def main(arguments: Sequence[str] = ()) -> int:
    """Run the training job of the job folder; returns the exit code of `train`, which takes no arguments."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {*FORWARDED, signal.SIGCHLD})
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # an inherited "ignore" would lose the exit codes
    base = jobdir.base_dir()
    try:
        if arguments:
            raise jobdir.JobError(
                f"`train` takes no arguments, not {' '.join(arguments)}: hyperparameters are the job's (train --help)"
            )
        jobdir.prepare(base)
        return _supervise(base)
    except jobdir.JobError as error:
        return _cannot_run(base, str(error), "")
    except Exception as error:  # the verdict must be written whatever happens
        return _cannot_run(base, f"internal error of `train`: {error!r}", traceback.format_exc())


def _supervise(base: Path) -> int:
    _adopt_orphans()
    toolkit = subprocess.Popen(
        [sys.executable, "-P", "-m", "container.train.toolkit"],
        stderr=subprocess.PIPE,
        env=_environment(base),
        start_new_session=True,  # Ctrl-C in a terminal then reaches only us, and the script gets it once
        preexec_fn=_unblock_signals,
    )
    tail = StderrTail(toolkit)
    code = _wait(toolkit)
    _end_the_rest()
    stderr = tail.text()
    if code != 0:
        verdict = jobdir.failure_file(base)
        existing = verdict.read_text(encoding="utf-8", errors="replace") if verdict.exists() else ""
        text = failure.compose(stderr, code, existing)
        failure.write(verdict, text)
        print(f"train: failed with exit code {code}: {text.splitlines()[0]}", file=sys.stderr, flush=True)
    return code


class StderrTail:
    """Passes a process's stderr on, byte for byte as it comes, and keeps the last 256 KiB of it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        self._stream = process.stderr
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._thread = threading.Thread(target=self._pump, name="stderr", daemon=True)
        self._thread.start()

    def text(self) -> str:
        """What was said last; call it once the process has ended."""
        self._thread.join(timeout=5)
        return b"".join(self._chunks).decode("utf-8", errors="replace")

    def _pump(self) -> None:
        while chunk := os.read(self._stream.fileno(), 65536):
            with suppress(OSError):  # nobody reads our stderr any more: the job goes on
                _write_all(sys.stderr.fileno(), chunk)
            self._chunks.append(chunk)
            self._size += len(chunk)
            while self._size - len(self._chunks[0]) >= TAIL_BYTES:
                self._size -= len(self._chunks.popleft())


def _wait(toolkit: subprocess.Popen[bytes]) -> int:
    """Forward signals and reap children until the toolkit has ended; returns its exit code."""
    pending: int | None = None  # the signal being handed out
    served: set[processes.Process] = set()
    while True:
        code = _reap(toolkit)
        if code is not None:
            return code
        received = signal.sigtimedwait({*FORWARDED, signal.SIGCHLD}, POLL_SECONDS if pending else 5.0)
        if received is not None and received.si_signo in FORWARDED:
            pending, served = received.si_signo, set()
            print(f"train: {signal.Signals(pending).name} received, passing it on", file=sys.stderr, flush=True)
        if pending is not None:
            served |= _forward(toolkit.pid, pending, served)


def _forward(toolkit: int, signum: int, served: set[processes.Process]) -> set[processes.Process]:
    """Send the signal to each script that has not had it; returns those.

    Called again and again after a signal, so that a rank that was just being started gets it as well.
    """
    new = {script for script in processes.scripts_below(toolkit, signum) if script not in served}
    for script in new:
        with suppress(ProcessLookupError):
            os.kill(script.pid, signum)
    return new


def _reap(toolkit: subprocess.Popen[bytes]) -> int | None:
    """Collect every child that has ended, adopted orphans too; the toolkit's exit code if it is among them."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 1  # no child left, the toolkit not among those seen: somebody else has reaped it
        if pid == 0:
            return None
        if pid == toolkit.pid:
            code = os.waitstatus_to_exitcode(status)
            toolkit.returncode = code  # we have reaped it in Popen's place
            return code if code >= 0 else 128 - code


def _end_the_rest() -> None:
    """Kill what the job has left running, as the end of process 1 in a container would."""
    while left := processes.descendants_of(os.getpid()):
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, 0)[0]:
                pass


def _environment(base: Path) -> dict[str, str]:
    environment = dict(os.environ)
    environment[jobdir.BASE_DIR_VARIABLE] = str(base)
    environment["PYTHONUNBUFFERED"] = "1"  # T13: a metric line counts when it is printed, not when a buffer is full
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, str(Path(root) / "code"), *environment.get("PYTHONPATH", "").split(os.pathsep)]
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path for path in paths if path))
    return environment


def _adopt_orphans() -> None:
    """Become the parent of orphans also where we are not process 1, so that both work alike (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _cannot_run(base: Path, headline: str, detail: str) -> int:
    print(f"train: {headline}\n{detail}", file=sys.stderr, flush=True)
    with suppress(OSError):
        failure.write(jobdir.failure_file(base), f"{headline}\n\n{detail}")
    return 1
