"""Deterministic algorithms, for as long as they are wanted."""

from __future__ import annotations

import os

import pytest
import torch
from torch.backends import cudnn

from recognizer.training.determinism import deterministic


def flags() -> tuple[bool, bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark


def test_the_flags_are_set_within_and_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cudnn, "benchmark", True)
    before = flags()
    with deterministic(False):
        assert flags() == before
    with pytest.raises(KeyError), deterministic(True):
        assert flags() == (True, True, False)
        assert "CUBLAS_WORKSPACE_CONFIG" in os.environ
        raise KeyError
    assert flags() == before == (False, False, True)


def test_what_has_no_deterministic_form_is_named_by_torch() -> None:
    """So that it stops a run instead of spoiling it."""
    with deterministic(True), pytest.raises(RuntimeError, match=r"put_.* does not have a deterministic implementation"):
        torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))
