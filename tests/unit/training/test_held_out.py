"""Nothing is kept apart from training that isn't validated either."""

from __future__ import annotations

from pathlib import Path

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
