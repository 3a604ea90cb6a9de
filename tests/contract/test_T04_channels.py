"""T4: a channel's folder is told by its name; the SDK names the one of `fit("s3://...")` itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from recognizer.training.job import Folders


@pytest.mark.parametrize("name", ["train", "training"])
def test_T4_data_comes_by_the_name_that_the_sdk_gives_it_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in ("TRAIN", "TRAINING", "VALIDATION", "MODEL", "INDEX"):
        monkeypatch.delenv(f"SM_CHANNEL_{other}", raising=False)
    assert Folders.from_environment().train is None
    monkeypatch.setenv(f"SM_CHANNEL_{name.upper()}", "/opt/ml/input/data/here")
    assert Folders.from_environment().train == Path("/opt/ml/input/data/here")
