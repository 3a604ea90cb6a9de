"""The learning rate follows from the progress alone; a signal asks the loop to stop."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Iterator
from types import FunctionType
from typing import get_args

import pytest

from recognizer.config import Schedule
from recognizer.training.distributed import Ranks
from recognizer.training.schedule import learning_rate, true_tokens
from recognizer.training.stages import Stages, StoppedError
from recognizer.training.stop import StopSignal


def test_the_rate_climbs_to_its_height_and_falls_to_a_fiftieth() -> None:
    rates = [learning_rate(step, step / 1000, 1e-3, 100) for step in range(1001)]
    top = rates.index(max(rates))
    assert 90 <= top <= 110
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(2e-5)


def rates(schedule: Schedule, losses: tuple[float, ...] = ()) -> list[float]:
    """At each thousandth of a run, without a warm-up; the highest is 1."""
    return [learning_rate(step, step / 1000, 1.0, 0, schedule, losses) for step in range(1001)]


def test_step_falls_to_a_tenth_twice() -> None:
    seen = rates("step")
    assert seen == pytest.approx([1.0] * 500 + [0.1] * 250 + [0.01] * 251)


def test_the_share_of_true_tokens_falls_in_a_line() -> None:
    assert [true_tokens(progress, 0.2) for progress in (0, 0.25, 0.5, 1)] == pytest.approx([1, 0.8, 0.6, 0.2])
    assert true_tokens(0.7, 1) == 1


def test_one_cycle_climbs_for_a_third_and_falls_to_next_to_nothing() -> None:
    seen = rates("one_cycle")
    assert (seen[0], seen[300], seen[-1]) == pytest.approx((0.04, 1.0, 1e-4))
    assert seen[:301] == sorted(seen[:301])
    assert seen[300:] == sorted(seen[300:], reverse=True)


def test_constant_stays() -> None:
    assert set(rates("constant")) == {1.0}


@pytest.mark.parametrize(
    ("losses", "share"),
    [
        ((), 1.0),
        ((3.0, 2.0, 1.0), 1.0),
        ((1.0, 1.0), 1.0),  # one without a gain is borne
        ((1.0, 1.0, 1.5), 0.5),
        ((1.0, 1.0, 0.5, 0.5), 1.0),  # a gain starts the count anew
        ((1.0, 0.9999, 0.9998), 0.5),  # less than a thousandth is none
        ((1.0, math.nan, math.nan), 0.5),
        ((1.0,) * 5, 0.25),
        ((1.0,) * 100, 0.02),
    ],
)
def test_plateau_halves_after_two_validations_without_a_gain(losses: tuple[float, ...], share: float) -> None:
    assert rates("plateau", losses) == pytest.approx([share] * 1001)


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_every_schedule_begins_with_the_warm_up(schedule: Schedule) -> None:
    first, whole = learning_rate(0, 0.1, 1.0, 9, schedule), learning_rate(9, 0.1, 1.0, 9, schedule)
    assert first == pytest.approx(whole / 10)


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


@pytest.fixture
def stop() -> Iterator[StopSignal]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    yield StopSignal().listen()
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def test_work_that_leaves_nothing_to_save_is_left_at_once(stop: StopSignal) -> None:
    done: list[str] = []

    def work() -> None:
        done.append("begun")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
        done.append("ended")

    stop.interrupt(work)
    stop.interrupt(work)
    assert stop and done == ["begun"], "and none is begun afterwards"


def test_v8_is_not_left_in_the_middle_of_a_call(stop: StopSignal) -> None:
    """Its thread would answer to nobody, and say so on stderr, of which the reason of a failure is made."""
    done: list[str] = []

    def call() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        done.append("call")

    def work() -> None:
        FunctionType(call.__code__, globals() | {"__name__": "py_mini_racer._api"}, None, None, call.__closure__)()
        time.sleep(60)
        done.append("work")

    stop.interrupt(work)
    assert done == ["call"]


class _OtherStopped(Ranks):
    """One of two ranks, of which the other was asked to stop."""

    def sum(self, *values: float) -> list[float]:
        return [value + 1 for value in values]


def test_ranks_leave_a_stage_together() -> None:
    assert Stages(Ranks(), StopSignal()).run(max, 1, 2) == 2
    with pytest.raises(StoppedError):
        Stages(_OtherStopped(), StopSignal()).run(max, 1, 2)
