"""Nothing is kept apart from training that isn't validated either."""

from __future__ import annotations

from pathlib import Path

import pytest

from recognizer.data.sample import DataError
from recognizer.training.data import prepare
from recognizer.training.distributed import Ranks
from tests.support.tiny_dataset import write_tiny_dataset
from tests.support.tiny_training import SPEC, settings


def test_samples_beyond_those_that_are_validated_are_trained_on(tmp_path: Path) -> None:
    folder = write_tiny_dataset(tmp_path, 12)
    chosen = settings(validation_share=0.5, max_validation=2, max_tokens=20)
    data = prepare(chosen, folder, None, SPEC, None, Ranks())
    assert len(data.validation_samples) == len(data.split.validation) == 2
    assert len(data.split.train) == 10


class _Unlike(Ranks):
    """The main rank of two, of which the other sees something else."""

    def gather(self, value: object) -> list[object]:
        return [value, "other"]


def test_hosts_that_see_different_data_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """A channel that is ShardedByS3Key: the batches of the one were not those of the other, and some never came."""
    folder = write_tiny_dataset(tmp_path, 12)
    with pytest.raises(DataError, match="FullyReplicated"):
        prepare(settings(), folder, None, SPEC, None, _Unlike())
