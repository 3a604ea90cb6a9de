"""The preparation of a job in stages, so that a request to stop needn't wait for its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from recognizer.data.measure import Measured
from recognizer.training.distributed import Ranks
from recognizer.training.stop import StopSignal

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")


class StoppedError(Exception):
    """The job was asked to stop before its training began; `measured` is what is known of its pictures so far."""

    def __init__(self, measured: tuple[Measured, ...] = ()) -> None:
        super().__init__()
        self.measured = measured


@dataclass(frozen=True)
class Stages:
    """Ranks that leave together: one that left alone would be waited for by the others."""

    ranks: Ranks
    stop: StopSignal

    def run(self, work: Callable[Arguments, Made], *arguments: Arguments.args, **named: Arguments.kwargs) -> Made:
        """What the work makes, in which the ranks don't meet; they do when it is done.

        Raises:
            StoppedError: one of the ranks was asked to stop, and left the work where it was.
        """
        made: list[Made] = []
        self.stop.interrupt(lambda: made.append(work(*arguments, **named)))
        if self.stopping():
            raise StoppedError
        return made[0]

    def stopping(self) -> bool:
        """Whether any rank was asked to stop; all ranks must ask."""
        return self.ranks.sum(float(bool(self.stop)))[0] > 0
