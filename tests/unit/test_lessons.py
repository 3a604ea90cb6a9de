"""docs/lessons.md names tests: each of them exists, and each lesson has one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = re.findall(r"^\| ([LO]\d+) \|(.*)\|$", (ROOT / "docs" / "lessons.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_all_lessons_are_there() -> None:
    assert [number for number, _ in ROWS] == [*(f"L{n}" for n in range(1, 16)), *(f"O{n}" for n in range(1, 9))]


@pytest.mark.parametrize(("number", "row"), ROWS, ids=[number for number, _ in ROWS])
def test_the_proofs_of_a_lesson_exist(number: str, row: str) -> None:
    proofs = re.findall(r"`(tests/\S+?)::(test_\w+)`", row)
    assert proofs
    for file, name in proofs:
        assert re.search(rf"^\s*(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), name
