"""docs/lessons.md names tests: each of them exists, each lesson has one, and a row's number selects its own."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support.lessons import ROOT, proofs

PROOFS = proofs()


def test_all_lessons_are_there() -> None:
    assert list(PROOFS) == [*(f"L{n}" for n in range(1, 16)), *(f"O{n}" for n in range(1, 9))]


@pytest.mark.parametrize("number", PROOFS)
def test_the_proofs_of_a_lesson_exist(number: str) -> None:
    assert PROOFS[number]
    for proof in PROOFS[number]:
        file, _, name = proof.partition("::")
        assert f"_{number}_" in name
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), name


def test_a_row_selects_its_proofs_and_no_other_tests() -> None:
    """As docs/lessons.md says; in a file that proves O4 too."""
    file = "tests/unit/evaluation/test_metrics.py"
    command = [sys.executable, "-m", "pytest", "--collect-only", "-m", "lesson(row='O8')", file]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    proved = {row: [each for each in names if each.startswith(file)] for row, names in PROOFS.items()}
    assert proved["O4"] and re.findall(r"^tests/\S+", listed, re.MULTILINE) == proved["O8"], listed
