"""Workers tell each other how many connections they have; who doesn't, or can't take one, doesn't count."""

from __future__ import annotations

import pytest

from container.serve import readiness
from container.serve.readiness import OpenConnections


def test_the_least_of_those_that_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    open_connections = OpenConnections(3)
    first, second, third = (open_connections.take_place() for _ in range(3))
    assert open_connections.least() == OpenConnections.NOBODY
    open_connections.tell(first, 5)
    open_connections.tell(second, 3)
    open_connections.tell(third, OpenConnections.NOBODY)
    assert open_connections.least() == 3
    open_connections.free(second)
    assert open_connections.least() == 5
    monkeypatch.setattr(readiness, "SILENT_SECONDS", -1)  # all have been silent for longer
    assert open_connections.least() == OpenConnections.NOBODY


def test_a_place_is_taken_once_and_again_when_it_is_free() -> None:
    open_connections = OpenConnections(2)
    first, second, none = (open_connections.take_place() for _ in range(3))
    assert {first, second} == {0, 1} and none is None
    open_connections.tell(none, 0)
    open_connections.free(none)
    assert open_connections.least() == OpenConnections.NOBODY and open_connections.take_place() is None
    open_connections.free(first)
    assert open_connections.take_place() == first
