"""The table of docs/lessons.md: which tests prove which row."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def proofs() -> dict[str, list[str]]:
    """Return the tests of each row as the table names them: {"L5": ["tests/.../test_x.py::test_y", ...], ...}."""
    table = (ROOT / "docs" / "lessons.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([LO]\d+) \|(.*)\|$", table, re.MULTILINE)
    return {number: re.findall(r"`(tests/\S+?::test_\w+)`", row) for number, row in rows}
