"""/opt/ml/output/failure: SageMaker shows its first 1,024 characters as FailureReason, so they must help (T9).

The toolkit alone writes `ExecuteUserScriptError ... ErrorMessage ""`, and nothing where a file exists already. Here
the file is written anew from what the script said on stderr: one line that names the cause, then its traceback.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path

HEADLINE_LIMIT = 500  # characters; leaves half of FailureReason to the traceback
DETAIL_LIMIT = 16_000  # characters
TAIL_LINES = 40

TRACEBACK_START = "Traceback (most recent call last):"
# An ExceptionGroup: one that `except*` has put together has no traceback of its own, and begins with its message
GROUP_START = re.compile(r"^  (?:\+ Exception Group Traceback|\| \S.* \(\d+ sub-exceptions?\)$)")
GROUP_LINE = re.compile(r"^ +[|+]")
GROUP_MESSAGE = re.compile(r"^ +\| ([A-Za-z_][\w.]*(?::.*)?)$", re.M)  # its own, then that of each exception in it
# Before a traceback that ends nothing: of a `__del__` or a callback at exit, and of a thread other than the main one
IGNORED = "Exception ignored "
IN_THREAD = "Exception in thread "
CHAIN_MARKS = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
# "error: ..." as train.py writes it, "train.py: error: ..." as argparse does
ERROR_LINE = re.compile(r"^(?:[\w./-]+: )?(?:error|ERROR): (?P<message>\S.*)$")
# Ranks share one stderr: the line of a second one may be glued to the first one's, before its line end came
GLUED_LINE = re.compile(r"(?<=\S)(?:error|ERROR): ")
# What torch puts before each line of a traceback in a job of several processes
RANK = re.compile(r"^\[rank\d+\]: ?", re.M)
TORCHRUN_ERROR = re.compile(r"^torch\.distributed\.elastic\.")
# torchrun's own report begins here; what the script said stands before it
TORCHRUN_REPORT = re.compile(r"torch/distributed/elastic/.*(failed \(exitcode|closing signal)")
# In torchrun's summary: the rank that failed first was killed by signal 9. The others' entries stand before it.
TORCHRUN_SIGNAL = re.compile(r"Root Cause.*?^ *exitcode *: *-(\d+)", re.M | re.S)
# What the other ranks die of when one has failed: the consequence, not the cause
LOST_PEER = re.compile(r"connection (closed|reset|refused)|DistBackendError|DistNetworkError|\bgloo\b|\bNCCL\b", re.I)
PEER_GONE = (
    "another process of the job is gone, most likely on another host: its log and failure file say why; the job "
    "started again goes on from its last checkpoint"
)
TOOLKIT_CRASH = "Framework Error:"  # the toolkit's own words for a failure of its own, traceback included
TOOLKIT_SHELL = re.compile(r"^\w+:\s*ExitCode ")  # its words for a failed command: they hold nothing to know
ADVICE = {
    signal.SIGKILL: "most often the memory ran out: lower batch_size, or use an instance with more memory",
    signal.SIGBUS: "most often /dev/shm is full: use fewer data loader workers, or give it more (--shm-size)",
    signal.SIGTERM: "the job was stopped, and the script has no handler that ends it in order, or was stopped "
    "a second time",
    signal.SIGINT: "the job was interrupted, and the script has no handler that ends it in order, or was interrupted "
    "a second time",
    signal.SIGSEGV: "a crash in native code: run `python -m container.doctor` and look for versions that differ",
}


class Traceback:
    """One traceback, chained ones included, as it stands in the stderr of the script."""

    def __init__(self, lines: list[str], first: int, last: int) -> None:
        self.lines = lines
        self.first = first  # index of its first line in `lines`
        self.last = last  # index of its last line

    @property
    def text(self) -> str:
        return "\n".join(self.lines[self.first : self.last + 1])

    @property
    def introduction(self) -> str:
        """The line before it."""
        return self.lines[self.first - 1] if self.first else ""

    @property
    def message(self) -> str:
        """The exception in one line: `ValueError: what went wrong`, further lines of the message joined on; that of a
        group with that of the first exception in it."""
        groups = [index for index in range(self.first, self.last + 1) if GROUP_START.match(self.lines[index])]
        if groups and GROUP_LINE.match(self.lines[self.last]):
            return self._group_message(groups[-1])
        start = self.last
        while start > self.first and not self._is_exception_line(start):
            start -= 1
        return " ".join(line.strip() for line in self.lines[start : self.last + 1] if line.strip())

    def _group_message(self, start: int) -> str:
        messages = GROUP_MESSAGE.findall("\n".join(self.lines[start : self.last + 1]))
        single = [message for message in messages[1:] if not message.endswith(("sub-exception)", "sub-exceptions)"))]
        return ": ".join([*messages[:1], *single[:1]]) or self.lines[self.last].strip()

    def _is_exception_line(self, index: int) -> bool:
        line = self.lines[index]
        return bool(re.match(r"^[A-Za-z_][\w.]*(:|$)", line)) and self.lines[index - 1].startswith((" ", "\t"))


def write(path: Path, text: str) -> None:
    """Replace the failure file as a whole: a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".tmp")
    scratch.write_text(text.rstrip("\n") + "\n", encoding="utf-8", errors="replace")
    scratch.replace(path)


def compose(stderr: str, exit_code: int, existing: str = "") -> str:
    """The text of the failure file.

    `stderr`: the last of what the script wrote there. `exit_code`: its own, 128 + N for a death by signal N.
    `existing`: what stands in the file already: a reason given by the script, or by our launcher, stays in front;
    a crash of the toolkit takes the place of stderr; its message about a failed command is dropped.
    """
    stderr = RANK.sub("", stderr)
    if existing.startswith(TOOLKIT_CRASH):
        source = existing
    elif existing.strip() and not TOOLKIT_SHELL.match(existing):
        return _clip(existing.strip(), HEADLINE_LIMIT * 2) + "\n\n" + _detail(stderr)
    else:
        source = stderr
    parts = [_clip(_headline(source, exit_code), HEADLINE_LIMIT), f"(exit code {exit_code})", _detail(source)]
    return "\n\n".join(part for part in parts if part)


def _headline(text: str, exit_code: int) -> str:
    lines = _without_ignored(_before_torchruns_report(text.splitlines()))
    traceback = _decisive_traceback(lines)
    killed = TORCHRUN_SIGNAL.search(text)
    by_signal = _signal_line(128 + int(killed[1]) if killed else exit_code)
    stated = _stated_error(lines, traceback)
    if stated:
        return stated
    is_lost = bool(traceback and LOST_PEER.search(traceback.message))
    if by_signal and (is_lost or not traceback):  # also where other ranks complain about the one that was killed
        return by_signal
    if traceback:
        return f"{PEER_GONE} ({traceback.message})" if is_lost and TORCHRUN_REPORT.search(text) else traceback.message
    spoken = [line.strip() for line in lines if line.strip()]
    return spoken[-1] if spoken else f"the training script ended with exit code {exit_code} and said nothing on stderr"


def _before_torchruns_report(lines: list[str]) -> list[str]:
    report = next((index for index, line in enumerate(lines) if TORCHRUN_REPORT.search(line)), None)
    return lines[:report]


def _without_ignored(lines: list[str]) -> list[str]:
    """What Python ignored comes after the cause, as the process ends; it counts only where nothing else was said."""
    rest = lines
    for found in reversed(_tracebacks(lines)):
        if found.introduction.startswith(IGNORED):
            rest = rest[: found.first - 1] + rest[found.last + 1 :]
    return rest if any(line.strip() for line in rest) else lines


def _stated_error(lines: list[str], traceback: Traceback | None) -> str | None:
    """The script's own `error: ...` line, if it belongs to its end: right before the traceback, or after it."""
    first = max(0, len(lines) - TAIL_LINES)
    if traceback and not traceback.introduction.startswith(IN_THREAD):
        first = traceback.first
        while first > 0 and (not lines[first - 1].strip() or ERROR_LINE.match(lines[first - 1])):
            first -= 1
    matches = [match for line in lines[first:] if (match := ERROR_LINE.match(line))]
    return GLUED_LINE.split(matches[-1]["message"])[0] if matches else None


def _decisive_traceback(lines: list[str]) -> Traceback | None:
    """The last traceback that is a cause: not torchrun's summary, nor a rank's complaint about a lost peer; and rather
    not a thread's, which ends no process."""
    own = [found for found in _tracebacks(lines) if not TORCHRUN_ERROR.match(found.message)]
    causes = [found for found in own if not LOST_PEER.search(found.message)]
    of_main = [found for found in causes if not found.introduction.startswith(IN_THREAD)]
    candidates = of_main or causes or own
    return candidates[-1] if candidates else None


def _tracebacks(lines: list[str]) -> list[Traceback]:
    found: list[Traceback] = []
    index = 0
    while index < len(lines):
        if lines[index].startswith(TRACEBACK_START) or GROUP_START.match(lines[index]):
            last = _end_of_traceback(lines, index)
            if found and _is_chained(lines, found[-1].last, index):
                found[-1].last = last
            else:
                found.append(Traceback(lines, index, last))
            index = last
        index += 1
    return found


def _end_of_traceback(lines: list[str], start: int) -> int:
    """Index of its last line: frames are indented, then the exception; its message may go on, indented. All lines of a
    group's are marked."""
    index = start + 1
    if GROUP_START.match(lines[start]):
        while index < len(lines) and GROUP_LINE.match(lines[index]):
            index += 1
        return index - 1
    while index < len(lines) and (lines[index].startswith((" ", "\t")) or not lines[index]):
        index += 1
    last = min(index, len(lines) - 1)
    while last + 1 < len(lines) and (lines[last + 1].startswith((" ", "\t")) or _is_message_line(lines, last)):
        last += 1
    return last


def _is_message_line(lines: list[str], last: int) -> bool:
    """Whether the message goes on after line `last`: a plain line with an indented one behind it (pydantic's)."""
    return (
        last + 2 < len(lines)
        and bool(re.match(r"^[\w.]+$", lines[last + 1]))
        and lines[last + 2].startswith((" ", "\t"))
    )


def _is_chained(lines: list[str], previous_end: int, start: int) -> bool:
    between = [line for line in lines[previous_end + 1 : start] if line]
    return len(between) == 1 and between[0] in CHAIN_MARKS


def _signal_line(exit_code: int) -> str | None:
    if exit_code <= 128:
        return None
    try:
        killed_by = signal.Signals(exit_code - 128)
    except ValueError:
        return None
    advice = ADVICE.get(killed_by)
    return f"the training script was ended by {killed_by.name}" + (f" ({advice})" if advice else "")


def _detail(text: str) -> str:
    lines = _without_ignored(_before_torchruns_report(text.splitlines()) or text.splitlines())
    traceback = _decisive_traceback(lines)
    if traceback:
        return _clip_start(traceback.text, DETAIL_LIMIT)
    return _clip_start("\n".join(lines[-TAIL_LINES:]), DETAIL_LIMIT)


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _clip_start(text: str, limit: int) -> str:
    """Keep the end: that is where a traceback says what happened."""
    return text if len(text) <= limit else "...\n" + text[-limit:]
