"""Fixtures that several folders of tests use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

# Set before torch is imported. Tests share their cores with servers and jobs that they start; threads that wait for
# each other actively would take a core from those: two such threads were seven times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from tests.support.server import Server
from tests.support.tiny_model import build_tiny_model


@pytest.fixture(scope="session")
def tiny_base_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base directory (/opt/ml) with the tiny model in it; not to be changed."""
    base_dir: Path = tmp_path_factory.mktemp("base")
    build_tiny_model(base_dir / "model")
    return base_dir


@pytest.fixture
def own_base_dir(tiny_base_dir: Path, tmp_path: Path) -> Path:
    """A copy of it that the test may change."""
    return Path(shutil.copytree(tiny_base_dir, tmp_path / "base"))


@pytest.fixture(scope="session")
def tiny_server(tiny_base_dir: Path) -> Iterator[Server]:
    """A ready server for tests that only ask."""
    with Server(tiny_base_dir) as server:
        yield server.wait_until_ready()
