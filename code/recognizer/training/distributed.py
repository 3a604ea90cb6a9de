"""Processes of one training job: who am I, how many are we, and the few things that we do together.

torchrun, or SageMaker's ModelTrainer through it, sets RANK, LOCAL_RANK, WORLD_SIZE and the address to meet at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from recognizer.training.heartbeat import MEETING, Heartbeat

# Of one exchange. Others wait in it while rank 0 alone teaches symbols, validates or exports, which may take long; a
# rank that is lost is found by its heartbeat.
TIMEOUT = timedelta(hours=6)


@dataclass(frozen=True)
class Ranks:
    """This process among all of the job."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        return torch.device("cuda", self.local_rank) if torch.cuda.is_available() else torch.device("cpu")

    def sum(self, *values: float) -> list[float]:
        """Each value summed over all ranks, in one exchange."""
        if self.world_size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        sums: list[float] = total.tolist()
        return sums

    def gather(self, value: Any) -> list[Any]:
        """The value of every rank, in their order."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def from_main(self, value: Any) -> Any:
        """Rank 0's value; what others give isn't looked at."""
        values = [value]
        if self.world_size > 1:
            dist.broadcast_object_list(values, device=self.device)
        return values[0]

    def told_once(self) -> AbstractContextManager[None]:
        """What all ranks print alike within, only the main one does. Errors go to stderr, and are everybody's."""
        return nullcontext() if self.is_main else redirect_stdout(None)

    def wait(self) -> None:
        """Returns when every rank has come here."""
        if self.world_size > 1:
            dist.barrier()


@contextmanager
def join() -> Iterator[Ranks]:
    """Meets the other processes of the job, if there are any, and parts from them at the end.

    Within, the process ends with the reason on stderr when another one falls silent.

    Raises:
        LostRankError: a process of the job hasn't come.
    """
    ranks = Ranks(*(int(os.environ.get(name, default)) for name, default in _VARIABLES))
    if ranks.device.type == "cuda":
        torch.cuda.set_device(ranks.device)
    if ranks.world_size == 1:
        yield ranks
        return
    store, rank, world_size = next(dist.rendezvous("env://", timeout=MEETING))
    heartbeat = Heartbeat(store, rank, world_size)
    heartbeat.start()
    done = False
    try:
        backend = "nccl" if ranks.device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=TIMEOUT)
        yield ranks
        done = True
    finally:
        heartbeat.stop(done)
        if dist.is_initialized():
            dist.destroy_process_group()


_VARIABLES = (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1"))
