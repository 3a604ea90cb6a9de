"""Stopped anywhere and resumed, a run ends with the very weights that it would have had."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch

import inference
from recognizer.config import Hyperparameters, Schedule
from recognizer.data.formats import read_dataset
from recognizer.data.pack_shards import pack_shards
from recognizer.data.sample import DataError
from recognizer.training import checkpoint
from recognizer.training.data import prepare
from recognizer.training.determinism import deterministic
from recognizer.training.distributed import Ranks
from recognizer.training.loop import Trainer
from recognizer.training.stop import StopSignal
from tests.support.tiny_recognizer import SMALL
from tests.support.tiny_training import SPEC, Recorded, settings, trainer, weights, write_pictures


class StopAfter(StopSignal):
    """Asks to stop when it was looked at so many times: once a step."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.left = steps

    def __bool__(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def uninterrupted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    made = trainer(settings(), folder, tmp_path_factory.mktemp("whole"))
    assert made.run(StopSignal())
    return made


@pytest.mark.parametrize(("steps", "workers"), [(1, 0), (4, 0), (5, 0), (9, 1)])
def test_resuming_changes_no_bit(
    uninterrupted: Trainer, folder: Path, tmp_path: Path, steps: int, workers: int
) -> None:
    """Within an epoch, at its last step, at the next one's first, and with a worker process."""
    assert not trainer(settings(workers), folder, tmp_path).run(StopAfter(steps))
    resumed = trainer(settings(workers), folder, tmp_path)
    assert resumed.progress.step == steps
    assert resumed.run(StopSignal())
    assert torch.equal(weights(resumed), weights(uninterrupted))
    assert resumed.history == uninterrupted.history


def test_resuming_in_the_middle_of_shards_read_in_a_row_changes_no_bit(folder: Path, tmp_path: Path) -> None:
    shards, chosen = tmp_path / "shards", settings(stream=True)
    pack_shards(read_dataset(folder), shards, megabytes=0.01, progress=False)
    whole = trainer(chosen, shards, tmp_path / "whole")
    assert whole.run(StopSignal())
    assert not trainer(chosen, shards, tmp_path).run(StopAfter(7))
    resumed = trainer(settings(workers=1, stream=True), shards, tmp_path)
    assert (resumed.progress.step, resumed.progress.epoch) == (7, 1) and resumed.progress.position > 0
    assert resumed.run(StopSignal())
    assert torch.equal(weights(resumed), weights(whole)) and resumed.history == whole.history


def test_what_cannot_be_read_in_a_row_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="stream=true, but the data has no shards"):
        prepare(settings(stream=True), folder, None, SPEC, None, Ranks())
    shards = tmp_path / "shards"
    pack_shards(read_dataset(folder), shards, progress=False)
    for chosen, validation, spec, message in (
        (settings(), None, SPEC, "give a channel `validation`"),
        (settings(), folder, inference.PreprocessSpec(scale=0.5), "measured with other values of glyph_height or"),
        (settings(stacked=2), folder, SPEC, "joined, stacked, pages, turned take pictures from anywhere"),
        (settings(turned=2), folder, SPEC, "joined, stacked, pages, turned take pictures from anywhere"),
    ):
        with pytest.raises(DataError, match=message):
            prepare(chosen, tmp_path / "train", validation, spec, None, Ranks(), shards / "index")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_L7_resuming_in_half_precision_changes_no_bit(folder: Path, tmp_path: Path, precision: str) -> None:
    """With fp16 the scaler goes on where it was: it has grown since the start."""
    chosen = settings(precision=precision)
    whole = trainer(chosen, folder, tmp_path / "whole")
    whole.precision.scaler.set_growth_interval(2)
    assert whole.run(StopSignal())
    stopped = trainer(chosen, folder, tmp_path / "stopped")
    stopped.precision.scaler.set_growth_interval(2)
    assert not stopped.run(StopAfter(7))
    resumed = trainer(chosen, folder, tmp_path / "stopped")
    assert resumed.precision.scaler.state_dict() == stopped.precision.scaler.state_dict()
    assert resumed.run(StopSignal())
    assert torch.equal(weights(resumed), weights(whole)) and resumed.history == whole.history
    ended = resumed.precision.scaler.state_dict()
    assert ended == whole.precision.scaler.state_dict()
    assert not ended or ended["scale"] != trainer(chosen, folder, tmp_path / "new").precision.scaler.get_scale()


class NeverBetter(Recorded):
    """Validates with a loss that never falls."""

    def _validate_here(self) -> dict[str, float]:
        return {"loss": 1.0}


def recorded(chosen: Hyperparameters, folder: Path, checkpoints: Path) -> Recorded:
    made = trainer(chosen, folder, checkpoints, NeverBetter)
    assert isinstance(made, Recorded)
    return made


@pytest.mark.parametrize(("before", "after"), [("fp32", "fp16"), ("fp16", "fp32")])
def test_a_run_may_go_on_in_another_precision(folder: Path, tmp_path: Path, before: str, after: str) -> None:
    assert not trainer(settings(precision=before), folder, tmp_path).run(StopAfter(3))
    resumed = trainer(settings(precision=after), folder, tmp_path)
    assert resumed.progress.step == 3
    assert not resumed.run(StopAfter(1))


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_L7_the_curve_of_a_resumed_run_has_no_step(folder: Path, tmp_path: Path, schedule: str) -> None:
    """Stopped within the fourth epoch, when `plateau` has already cut the rate.

    Lesson: the schedule restarted at step 0 after resuming.
    """
    chosen = settings(epochs=5, schedule=schedule)
    whole = recorded(chosen, folder, tmp_path / "whole")
    assert whole.run(StopSignal())
    stopped = recorded(chosen, folder, tmp_path)
    assert not stopped.run(StopAfter(len(whole.rates) * 7 // 10))
    resumed = recorded(chosen, folder, tmp_path)
    assert resumed.run(StopSignal())
    assert stopped.rates + resumed.rates == whole.rates
    assert (min(whole.rates[3:]) < max(whole.rates)) == (schedule != "constant")


@pytest.mark.parametrize("workers", [0, 2])
def test_L8_the_same_seed_gives_the_same_bits_with_any_number_of_workers(
    folder: Path, tmp_path: Path, uninterrupted: Trainer, workers: int
) -> None:
    """Also with `deterministic`, which on a CPU leaves torch's algorithms as they are."""
    with deterministic(True):
        made = trainer(settings(workers, deterministic=True), folder, tmp_path)
        assert made.run(StopSignal())
    assert torch.equal(weights(made), weights(uninterrupted))
    assert made.history == uninterrupted.history


def test_a_run_that_is_fed_its_own_tokens_resumes_exactly(folder: Path, tmp_path: Path) -> None:
    """Scheduled sampling: which tokens are true depends on the step and the share of the run that is done."""
    sizes = {**SMALL["attention"], "dropout": 0.1}
    chosen = settings(recognizer="attention", sizes=sizes, teacher_forcing=0.2)
    whole = trainer(chosen, folder, tmp_path / "whole")
    assert whole.run(StopSignal())
    assert not trainer(chosen, folder, tmp_path / "stopped").run(StopAfter(9))
    resumed = trainer(chosen, folder, tmp_path / "stopped")
    assert resumed.run(StopSignal())
    assert torch.equal(weights(resumed), weights(whole))
    forced = trainer(chosen.model_copy(update={"teacher_forcing": 1.0}), folder, tmp_path / "forced")
    assert forced.run(StopSignal())
    assert not torch.equal(weights(forced), weights(whole))


def test_another_seed_gives_other_weights(uninterrupted: Trainer, folder: Path, tmp_path: Path) -> None:
    other = trainer(settings(seed=1), folder, tmp_path)
    other.run(StopSignal())
    assert not torch.equal(weights(other), weights(uninterrupted))


def test_a_checkpoint_of_other_data_is_refused(folder: Path, tmp_path: Path) -> None:
    made = trainer(settings(), folder, tmp_path)
    made.save()
    made.identity = {"seed": 1}
    with pytest.raises(checkpoint.CheckpointError, match="another seed"):
        made.resume()


def test_a_run_ends_at_its_time_with_the_schedule_done(folder: Path, tmp_path: Path) -> None:
    made = trainer(settings(epochs=1000, max_minutes=0.05), folder, tmp_path)
    assert made.run(StopSignal())
    assert made.share_done() == 1
    assert made.history, "the last, partial epoch is validated too"


@pytest.mark.parametrize("steps", [2, 7])
def test_a_run_that_is_resumed_without_time_left_validates_what_it_has_learned(
    folder: Path, tmp_path: Path, steps: int
) -> None:
    """Within the first epoch there was nothing to export yet, later only what an epoch before had learned."""
    stopped = trainer(settings(), folder, tmp_path)
    assert not stopped.run(StopAfter(steps))
    late = settings(max_minutes=1e-6)
    resumed = trainer(late, folder, tmp_path)
    assert resumed.run(StopSignal())
    assert torch.equal(weights(resumed), weights(stopped)), "not a step more"
    assert [row["step"] for row in resumed.history] == [*(row["step"] for row in stopped.history), steps]
    assert checkpoint.read(tmp_path, checkpoint.BEST)
    again = trainer(late, folder, tmp_path)
    assert again.run(StopSignal())
    assert again.history == resumed.history, "once is enough"


def test_other_values_of_a_resumed_run_are_told_and_hold(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The optimizer's state brought the old decay back. A checkpoint of an earlier version names no values."""
    assert not trainer(settings(), folder, tmp_path).run(StopAfter(2))
    resumed = trainer(settings(weight_decay=0.5, learning_rate=0.01), folder, tmp_path)
    assert (
        "other values than before: learning_rate 0.002 -> 0.01, weight_decay 0.05 -> 0.5\n" in capsys.readouterr().out
    )
    assert [group["weight_decay"] for group in resumed.optimizer.param_groups] == [0.5, 0.0]
    assert (resumed.progress.step, resumed.progress.position) == (2, 2), "the batches are the same"
    state = checkpoint.read(tmp_path, checkpoint.LAST)
    assert state
    checkpoint.write(tmp_path, checkpoint.LAST, {key: state[key] for key in state.keys() - {"settings", "batches"}})
    assert trainer(settings(batch_size=2), folder, tmp_path).progress.position == 2
    assert "other values" not in capsys.readouterr().out


@pytest.mark.parametrize("changed", [{"batch_size": 2}, {"seed": 1}, {"turned": 4}])
def test_an_epoch_whose_batches_are_others_begins_anew(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, int]
) -> None:
    """Its position counted what is no more: the rest of the epoch was left out."""
    assert not trainer(settings(), folder, tmp_path).run(StopAfter(3))
    resumed = trainer(settings(**changed), folder, tmp_path)
    assert "epoch 1 begins anew: its batches aren't those of which 3 are done" in capsys.readouterr().out
    assert (resumed.progress.step, resumed.progress.epoch, resumed.progress.position) == (3, 0, 0)
    assert not resumed.run(StopAfter(1))
    assert trainer(settings(**changed), folder, tmp_path).progress.position == 1, "from then on its own count"
