"""Finds the user's script among the processes below the toolkit: only the script can write a checkpoint (T11).

The tree is `train -> toolkit -> script`, or `train -> toolkit -> torchrun -> one script a rank`, and the script may
have data loader workers below it. A signal to the whole process group would be wrong three times over: the toolkit
dies of it, torchrun kills the ranks, and the workers vanish under the script that is still reading from them. So
the signal goes to the scripts, and to nothing else. Read from /proc (Linux only, as containers are).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
SHELLS = {"sh", "bash", "dash", "ash", "zsh"}


class Process(NamedTuple):
    """One process; the start time (clock ticks since boot) tells it from a later one with the same number."""

    pid: int
    start: int


def children_of(parent: int) -> list[Process]:
    """Direct children of `parent`, oldest first, zombies left out."""
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        fields = _stat_fields(int(entry.name))
        if fields is None:
            continue
        state, ppid, start = fields
        if ppid == parent and state != "Z":
            found.append(Process(int(entry.name), start))
    return sorted(found, key=lambda process: process.start)


def descendants_of(parent: int) -> list[Process]:
    """Everything below `parent`, parents before their children."""
    found: list[Process] = []
    queue = [parent]
    while queue:
        below = children_of(queue.pop(0))
        found += below
        queue += [process.pid for process in below]
    return found


def scripts_below(toolkit: int, signum: int) -> list[Process]:
    """The processes that run user code and should get `signum`: one, or one a rank under torchrun."""
    own_command = _command(toolkit)
    scripts: list[Process] = []
    for child in children_of(toolkit):
        if _command(child.pid) != own_command:  # a fork of the toolkit itself uploads intermediate output: spare it
            scripts += _look_through(child, signum)
    return scripts


def _look_through(process: Process, signum: int) -> list[Process]:
    """`process` itself, or the processes behind it where it is only a launcher of them."""
    if _is_torchrun(process.pid) or (_is_shell(process.pid) and not catches(process.pid, signum)):
        return [script for child in children_of(process.pid) for script in _look_through(child, signum)]
    return [process]


def _is_torchrun(pid: int) -> bool:
    head = _command(pid)[:4]  # python [-u] [-m] torchrun
    return any(Path(word).name == "torchrun" or word.startswith("torch.distributed.") for word in head)


def _is_shell(pid: int) -> bool:
    command = _command(pid)
    return bool(command) and Path(command[0]).name.lstrip("-") in SHELLS


def catches(pid: int, signum: int) -> bool:
    """Whether the process has a handler for the signal (a shell with a `trap` wants it itself)."""
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return False
    mask = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")), 0)
    return bool(mask >> (signum - 1) & 1)


def _command(pid: int) -> list[str]:
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(word) for word in raw.rstrip(b"\0").split(b"\0")] if raw else []


def _stat_fields(pid: int) -> tuple[str, int, int] | None:
    """(state, parent, start time) from /proc/PID/stat; None once the process is gone."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    rest = text[text.rindex(")") + 2 :].split()  # the name in parentheses may itself hold blanks and parentheses
    return rest[0], int(rest[1]), int(rest[19])
