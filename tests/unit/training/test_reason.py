"""The reason that SDK v3 shows: of all that the ranks of a job tell, the first."""

from __future__ import annotations

from pathlib import Path

import pytest

from recognizer.training.reason import forget_reason, state_reason, tell_model_trainer


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    file = tmp_path / "failure"
    monkeypatch.setenv("SM_OUTPUT_FAILURE", str(file))
    return file


def test_the_cause_is_not_overwritten_by_what_the_other_ranks_die_of(told: Path) -> None:
    state_reason("gt.txt, line 17: the picture a.png is damaged; remove it")
    tell_model_trainer("RuntimeError: Connection closed by peer")
    assert told.read_text() == "error: gt.txt, line 17: the picture a.png is damaged; remove it\n"


def test_what_an_earlier_job_has_told_is_forgotten_by_one_rank_of_each_host(
    told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state_reason("of an earlier job")
    monkeypatch.setenv("LOCAL_RANK", "1")
    forget_reason()
    assert told.exists()
    monkeypatch.setenv("LOCAL_RANK", "0")
    forget_reason()
    assert not told.exists()
    forget_reason()
