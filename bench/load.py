"""The load generator `hey`, run beside what it asks, and its summary as numbers."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

MISSING = "hey, the load generator, is missing: apt-get install hey (Debian, Ubuntu), or github.com/rakyll/hey"
PERCENTILES = (50, 95, 99)


class LoadError(Exception):
    """There is no load generator, or it could not ask anything; the message says what to do."""


class Load(NamedTuple):
    rate: float  # answers with status 200 a second
    milliseconds: tuple[float, float, float]  # PERCENTILES of all answers
    errors: int  # other statuses, and requests without an answer


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Of values in rising order, of which there is one at least."""
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def find_hey() -> str:
    if path := shutil.which("hey"):
        return path
    raise LoadError(MISSING)


def start(url: str, seconds: int, clients: int, *options: str) -> subprocess.Popen[str]:
    """Begins to ask `url` for so long; `result` waits for the end."""
    command = [find_hey(), "-z", f"{seconds}s", "-c", str(clients), "-t", "60", *options, url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def post(url: str, seconds: int, clients: int, picture: Path) -> subprocess.Popen[str]:
    return start(url, seconds, clients, "-m", "POST", "-T", "image/png", "-D", str(picture))


def result(process: subprocess.Popen[str]) -> Load:
    """
    Raises:
        LoadError: no request was answered.
    """
    text, _ = process.communicate()
    return parse(text)


def parse(text: str) -> Load:
    """hey's summary -> numbers.

    Raises:
        LoadError: it has none, as when no request was answered.
    """
    total, slowest = (re.search(rf"{name}:\s+([\d.]+) secs", text) for name in ("Total", "Slowest"))
    statuses = {int(status): int(count) for status, count in re.findall(r"\[(\d{3})\]\s+(\d+) responses", text)}
    if not total or not slowest or not statuses:
        raise LoadError(f"hey got no answers; it said:\n{text}")
    # Of a handful of answers hey gives no high percentiles: there the slowest stands for them.
    found = [re.search(rf"\b{percent}%+ in ([\d.]+) secs", text) or slowest for percent in PERCENTILES]
    first, second, third = (1000 * float(match[1]) for match in found)
    unanswered = sum(map(int, re.findall(r"^\s+\[(\d+)\]\t(?!\d+ responses)", text, re.MULTILINE)))
    fine = statuses.pop(200, 0)
    return Load(fine / float(total[1]), (first, second, third), sum(statuses.values()) + unanswered)
