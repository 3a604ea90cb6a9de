"""Two processes over gloo train as one does: the same batches, losses and weights, but for the order of additions."""

from __future__ import annotations

import os
import shutil
import signal
from datetime import timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import TCPStore

from recognizer.config import Hyperparameters
from recognizer.training import checkpoint
from recognizer.training.distributed import Ranks, join
from recognizer.training.stop import StopSignal
from tests.support.forks import fork_context
from tests.support.tiny_recognizer import SMALL
from tests.support.tiny_training import Recorded, settings, trainer, write_pictures
from tests.unit.training.test_resume import StopAfter


def chosen(**more: Any) -> Hyperparameters:
    """No dropout: each rank draws its own, so that with it two processes can't equal one."""
    return settings(**{"sizes": SMALL["fast"], "epochs": 2, "batch_size": 5, **more})


def train(values: Hyperparameters, ranks: Ranks, folder: Path, target: Path, steps: int | None = None) -> None:
    """Trains, or goes on, to the end or for some steps, and writes down what came of it; one file a rank."""
    made = trainer(values, folder, target / "checkpoints", Recorded, ranks)
    assert isinstance(made, Recorded)
    assert made.run(StopAfter(steps) if steps else StopSignal()) == (steps is None)
    average = made.average.model.state_dict()
    seen = {"losses": made.losses, "rates": made.rates, "model": made.model.state_dict(), "average": average}
    torch.save({**seen, "seconds": made.progress.seconds}, target / f"rank-{ranks.rank}.pt")


class KilledAfter(StopAfter):
    """In the place of a stop: SIGKILL."""

    def __bool__(self) -> bool:
        if super().__bool__():
            os.kill(os.getpid(), signal.SIGKILL)
        return False


def train_as_rank(
    variables: dict[str, str], values: Hyperparameters, folder: Path, target: Path, steps: int | None, dies: bool
) -> None:
    os.environ.update(variables)
    torch.set_num_threads(1)
    with join() as ranks:
        if dies and steps and ranks.rank:
            trainer(values, folder, target / "checkpoints", Recorded, ranks).run(KilledAfter(steps))
        train(values, ranks, folder, target, None if dies else steps)


def in_ranks(
    count: int, values: Hyperparameters, folder: Path, target: Path, steps: int | None = None
) -> list[dict[str, Any]]:
    """Runs the training in so many processes to its end, or for some steps."""
    assert end_of_ranks(count, values, folder, target, steps) == [0] * count
    return [torch.load(target / f"rank-{rank}.pt", weights_only=True) for rank in range(count)]


def end_of_ranks(
    count: int, values: Hyperparameters, folder: Path, target: Path, steps: int | None = None, dies: bool = False
) -> list[int | None]:
    """Exit codes of so many processes, as torchrun would start them; if one `dies`, it is the last, after the steps."""
    meeting = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(meeting.port)}
    shared["TORCHELASTIC_USE_AGENT_STORE"] = "True"  # they meet here, as at torchrun's agent
    processes: list[ForkServerProcess] = []
    for rank in range(count):
        own = {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        processes.append(fork_context().Process(target=train_as_rank, args=(own, values, folder, target, steps, dies)))
        processes[-1].start()
    for process in processes:
        process.join(300)
    return [process.exitcode for process in processes]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data"))


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """But for the keys' biases: they move all scores of a query alike, which a softmax doesn't see. So their gradients
    are nothing but rounding errors, and AdamW makes whole steps of these."""
    for name, value in first.items():
        start = len(value) // 2 if name.endswith("key_value.bias") else 0
        if not torch.allclose(value.flatten()[start:], second[name].flatten()[start:], rtol=1e-4, atol=2e-5):
            return False
    return first.keys() == second.keys()


def test_two_processes_are_one(folder: Path, tmp_path: Path) -> None:
    """Also where the last batch has fewer samples than there are processes."""
    (tmp_path / "alone").mkdir()
    (tmp_path / "both").mkdir()
    batches = trainer(chosen(), folder, tmp_path / "none").training.plan(0)
    assert min(map(len, batches)) == 1 < max(map(len, batches))
    train(chosen(), Ranks(), folder, tmp_path / "alone")
    alone = torch.load(tmp_path / "alone" / "rank-0.pt", weights_only=True)
    for one in in_ranks(2, chosen(), folder, tmp_path / "both"):
        assert one["rates"] == alone["rates"]
        assert one["losses"] == pytest.approx(alone["losses"], rel=1e-5)
        assert same(one["model"], alone["model"]) and same(one["average"], alone["average"])


def test_two_processes_stopped_within_an_epoch_go_on_as_two_or_as_one(folder: Path, tmp_path: Path) -> None:
    """As two to the very bits, as one to the weights but for rounding."""
    whole, two, one = (tmp_path / name for name in ("whole", "two", "one"))
    for each in (whole, two, one):
        each.mkdir()
    undisturbed = in_ranks(2, chosen(), folder, whole)
    in_ranks(2, chosen(), folder, two, steps=6)
    stopped = checkpoint.read(two / "checkpoints", checkpoint.LAST)
    assert stopped and stopped["progress"]["epoch"] == 1 and stopped["progress"]["position"] > 0
    shutil.copytree(two / "checkpoints", one / "checkpoints")
    for resumed, never_stopped in zip(in_ranks(2, chosen(), folder, two), undisturbed, strict=True):
        assert resumed["rates"] == never_stopped["rates"][6:] != []
        for kind in ("model", "average"):
            assert all(torch.equal(value, never_stopped[kind][name]) for name, value in resumed[kind].items())
    train(chosen(), Ranks(), folder, one)
    alone = torch.load(one / "rank-0.pt", weights_only=True)
    assert alone["losses"] == pytest.approx(undisturbed[0]["losses"][6:], rel=1e-5)
    assert same(alone["model"], undisturbed[0]["model"]) and same(alone["average"], undisturbed[0]["average"])


def test_two_processes_of_which_one_is_killed_go_on_to_the_same_bits(folder: Path, tmp_path: Path) -> None:
    whole, two = tmp_path / "whole", tmp_path / "two"
    whole.mkdir()
    two.mkdir()
    values = chosen(checkpoint_minutes=1e-9)  # one a step
    undisturbed = in_ranks(2, values, folder, whole)
    other, killed = end_of_ranks(2, values, folder, two, steps=6, dies=True)
    assert killed == -signal.SIGKILL and other
    for resumed, never_killed in zip(in_ranks(2, values, folder, two), undisturbed, strict=True):
        assert 0 < len(resumed["rates"]) < len(never_killed["rates"])
        assert resumed["rates"] == never_killed["rates"][-len(resumed["rates"]) :]
        for kind in ("model", "average"):
            assert all(torch.equal(value, never_killed[kind][name]) for name, value in resumed[kind].items())


def test_ranks_end_together_and_stay_alike_when_the_clock_decides(folder: Path, tmp_path: Path) -> None:
    """Each by its own clock, they took different numbers of steps at different learning rates."""
    first, second = in_ranks(2, chosen(epochs=1000, max_minutes=0.02), folder, tmp_path)
    assert first["rates"] == second["rates"] and first["seconds"] == second["seconds"] >= 1.2
    assert all(torch.equal(weights, second["model"][name]) for name, weights in first["model"].items())
