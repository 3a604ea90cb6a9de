"""The learning rate follows from the progress alone; a signal asks the loop to stop."""

from __future__ import annotations

import os
import signal

import pytest

from recognizer.training.schedule import learning_rate
from recognizer.training.stop import StopSignal


def test_the_rate_climbs_to_its_height_and_falls_to_a_fiftieth() -> None:
    rates = [learning_rate(step, step / 1000, 1e-3, 100) for step in range(1001)]
    top = rates.index(max(rates))
    assert 90 <= top <= 110
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(2e-5)


def test_the_rate_is_the_same_after_resuming() -> None:
    """Lesson: a valley at epoch 50, because the schedule restarted at step 0."""
    assert (
        learning_rate(700, 0.7, 1e-3, 100) == learning_rate(700, 0.7, 1e-3, 100) < learning_rate(699, 0.699, 1e-3, 100)
    )


def test_sigterm_is_a_request_and_not_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        stop = StopSignal().listen()
        assert not stop
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop
        assert "SIGTERM received" in capsys.readouterr().out
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
