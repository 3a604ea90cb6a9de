"""The batcher: who shares a call, what a failure costs the others, what happens to items nobody waits for."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from container.serve.batching import Batcher, GivenUp


class Doubler:
    """A model that doubles numbers, notes its calls, and waits for `go` before each."""

    def __init__(self):
        self.calls: list[list[int]] = []
        self.go = threading.Event()
        self.started = threading.Event()

    def __call__(self, items):
        self.calls.append(items)
        self.started.set()
        assert self.go.wait(10)
        if 13 in items:
            raise ValueError("13 is unlucky")
        return [2 * item for item in items]


@pytest.fixture
def model():
    return Doubler()


def results(futures):
    return [future.result(10) for future in futures]


def test_items_that_gather_meanwhile_share_a_call(model):
    batcher = Batcher(model, max_size=4)
    first = batcher.submit([1])
    assert model.started.wait(10)
    rest = [batcher.submit([number]) for number in (2, 3)] + [batcher.submit([4, 5, 6])]
    model.go.set()
    assert results(first) == [2]
    assert [results(futures) for futures in rest] == [[4], [6], [8, 10, 12]]
    assert model.calls == [[1], [2, 3, 4, 5], [6]]


def test_items_of_one_kind_share_a_call_and_keep_their_order(model):
    batcher = Batcher(model, max_size=3, kind=lambda item: item % 2)
    first = batcher.submit([1])
    assert model.started.wait(10)
    rest = batcher.submit([2, 3, 4, 5, 6, 7, 8, 9])
    model.go.set()
    assert results(first) == [2] and results(rest) == [2 * number for number in range(2, 10)]
    assert model.calls == [[1], [2, 4, 6], [3, 5, 7], [8], [9]]


def test_an_item_that_the_model_gives_up_fails_alone_and_is_not_tried_again():
    calls = []

    def run(items):
        calls.append(items)
        return [GivenUp(TimeoutError("too late")) if item == 2 else item for item in items]

    futures = Batcher(run, max_size=3).submit([1, 2, 3])
    assert (futures[0].result(10), futures[2].result(10)) == (1, 3)
    with pytest.raises(TimeoutError, match="too late"):
        futures[1].result(10)
    assert calls == [[1, 2, 3]]


def test_a_failing_item_spoils_no_other(model):
    batcher = Batcher(model, max_size=8)
    model.go.set()
    good, bad, other = batcher.submit([1, 13, 2])
    assert (good.result(10), other.result(10)) == (2, 4)
    with pytest.raises(ValueError, match="unlucky"):
        bad.result(10)
    assert batcher.is_alive()


def test_what_is_tried_again_was_taken_once():
    """Or its pictures and the time that they have waited were counted twice."""
    taken: list[list[int]] = []

    def fail(items):
        raise ValueError(items)

    batcher = Batcher(fail, 8, 1, more_expected=lambda: not taken, on_taken=taken.append)
    for future in batcher.submit([1, 2]):
        with pytest.raises(ValueError, match=r"\[[12]\]"):
            future.result(5)
    assert taken == [[1, 2]]


def test_wrong_number_of_answers_is_an_error():
    batcher: Batcher[int, int] = Batcher(lambda items: [], max_size=1)
    with pytest.raises(RuntimeError, match="0 answers to 1 items"):
        batcher.submit([1])[0].result(10)


def test_cancelled_items_are_skipped(model):
    batcher = Batcher(model, max_size=8)
    first = batcher.submit([1])
    assert model.started.wait(10)
    given_up, wanted = batcher.submit([2, 3])
    assert given_up.cancel()
    model.go.set()
    assert results(first) == [2]
    assert wanted.result(10) == 6
    assert model.calls == [[1], [3]]


@pytest.mark.parametrize("lanes", [1, 2])
def test_abandon_fails_what_waits_and_what_runs(model, lanes):
    batcher = Batcher(model, max_size=1, lanes=lanes)
    futures = batcher.submit([1, 2, 4])
    assert model.started.wait(10)
    batcher.abandon(RuntimeError("stopping"))
    for future in futures:
        with pytest.raises(RuntimeError, match="stopping"):
            future.result(10)
    model.go.set()
    assert results(batcher.submit([3])) == [6]


def test_waits_for_a_fuller_batch_only_while_more_is_expected(model):
    model.go.set()
    expected = threading.Event()
    batcher = Batcher(model, max_size=2, max_delay=30, more_expected=expected.is_set)
    assert results(batcher.submit([1])) == [2]
    expected.set()
    futures = batcher.submit([2])
    time.sleep(0.05)
    assert model.calls == [[1]]
    assert results(futures + batcher.submit([3])) == [4, 6]
    assert model.calls == [[1], [2, 3]]


def test_delay_is_bounded(model):
    model.go.set()
    batcher = Batcher(model, max_size=2, max_delay=0.05, more_expected=lambda: True)
    assert results(batcher.submit([1])) == [2]


def test_busy_seconds(model):
    batcher = Batcher(model, max_size=1)
    assert batcher.busy_seconds() == 0
    (future,) = batcher.submit([1])
    assert model.started.wait(10)
    time.sleep(0.05)
    assert batcher.busy_seconds() >= 0.05
    model.go.set()
    future.result(10)
    deadline = time.monotonic() + 10
    while batcher.busy_seconds() and time.monotonic() < deadline:
        time.sleep(0.001)
    assert batcher.busy_seconds() == 0


def test_lanes_work_at_the_same_time():
    together = threading.Barrier(2, timeout=10)

    def run(items):
        together.wait()
        return items

    batcher = Batcher(run, max_size=2, lanes=2)
    assert results(batcher.submit([1, 2, 3, 4])) == [1, 2, 3, 4]
    assert results(batcher.submit([5]) + batcher.submit([6, 7])) == [5, 6, 7]


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.integers(0, 12), max_size=9), min_size=1, max_size=12), st.integers(1, 5), st.integers(1, 3)
)
def test_everyone_gets_own_answers(requests, max_size, lanes):
    sizes = []

    def double(items):
        sizes.append(len(items))
        return [2 * item for item in items]

    batcher = Batcher(double, max_size, max_delay=0.001, more_expected=lambda: True, lanes=lanes)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda items: results(batcher.submit(items)), requests))
    assert answers == [[2 * item for item in items] for items in requests]
    assert sum(sizes) == sum(map(len, requests))
    assert max(sizes, default=0) <= max_size


@pytest.mark.parametrize("lanes", [1, 2])
def test_closing_answers_what_waits_and_ends_the_lanes(model, lanes):
    batcher = Batcher(model, max_size=1, lanes=lanes)
    futures = batcher.submit([1, 2, 3])
    assert not batcher.close(0)
    model.go.set()
    assert batcher.close(10)
    assert results(futures) == [2, 4, 6]
    assert not batcher.is_alive()


def test_changes_of_what_waits_add_up(model):
    changes: list[int] = []
    batcher = Batcher(model, max_size=2, on_waiting=changes.append)
    batcher.submit([1, 2, 3, 4, 5])
    assert model.started.wait(10)
    batcher.submit([6])
    assert sum(changes) == 4
    batcher.abandon(RuntimeError("stop"))
    assert sum(changes) == 0
