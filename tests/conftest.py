"""Fixtures that several folders of tests use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# Set before torch is imported. Tests share their cores with servers and jobs that they start; threads that wait for
# each other actively would take a core from those: two such threads were seven times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from tests.support.lessons import proofs
from tests.support.server import Server
from tests.support.tiny_model import build_tiny_model

# Examples take as long as the machine is busy; what is slow is measured by benchmarks.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the proofs of lessons with their rows: docs/lessons.md says which they are, and nothing else does."""
    rows = [(name, row) for row, names in proofs().items() for name in names]
    for item in items:
        for name, row in rows:
            if item.nodeid.partition("[")[0] == name:
                item.add_marker(pytest.mark.lesson(row=row))


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
