"""The load generator `wrk`, run beside what it asks, and what it saw as numbers."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

MISSING = "wrk, the load generator, is missing: apt-get install wrk (Debian, Ubuntu), or github.com/wg/wrk"
PERCENTILES = (50, 95, 99)
SCRIPT = Path(__file__).with_name("load.lua")


class LoadError(Exception):
    """There is no load generator, or it could not ask anything; the message says what to do."""


class Load(NamedTuple):
    rate: float  # answers with status 200 a second
    milliseconds: tuple[float, float, float]  # PERCENTILES of all answers
    errors: int  # other statuses, and requests without an answer


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Of values in rising order, of which there is one at least."""
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def find_wrk() -> str:
    if path := shutil.which("wrk"):
        return path
    raise LoadError(MISSING)


def start(url: str, seconds: int, clients: int, pictures: Sequence[Path] = (), pause: int = 0) -> subprocess.Popen[str]:
    """Begins to ask `url` for so long with the pictures in turn, or GET it without any; `result` waits for the end.

    Args:
        pause: milliseconds that a client waits before each request.
    """
    command = [find_wrk(), "-t", "1", "-c", str(clients), "-d", f"{seconds}s", "--timeout", "60s", "-s", str(SCRIPT)]
    command += [url, "--", str(pause), *map(str, pictures)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def result(process: subprocess.Popen[str]) -> Load:
    """
    Raises:
        LoadError: no request was answered.
    """
    text, _ = process.communicate()
    return parse(text)


def parse(text: str) -> Load:
    """What the script wrote -> numbers.

    Raises:
        LoadError: there is nothing, or no request was answered with status 200.
    """
    lines = [line for line in text.splitlines() if line.startswith("{")]
    seen: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    fine = seen.get("answers", 0) - seen.get("refused", 0)
    if fine <= 0:
        raise LoadError(f"wrk got no answers with status 200; it said:\n{text}")
    first, second, third = seen["milliseconds"]
    return Load(fine / seen["seconds"], (first, second, third), seen["refused"] + seen["unanswered"])
