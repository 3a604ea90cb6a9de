"""The engine and the built images; where they are missing, these tests are skipped, or fail (REQUIRE_CONTAINER=1)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.support import containers


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    if shutil.which(containers.DOCKER[0]) is None or containers.docker("info").code != 0:
        _missing("no container engine answers `docker info`")
    yield
    containers.remove_leftovers()


@pytest.fixture(scope="session")
def train_image(engine: None) -> str:
    return _built(containers.TRAIN_IMAGE)


@pytest.fixture(scope="session")
def serve_image(engine: None) -> str:
    return _built(containers.SERVE_IMAGE)


def _built(image: str) -> str:
    if containers.docker("image", "inspect", image).code != 0:
        _missing(f"there is no image {image}; build it with: make build")
    return image


def _missing(what: str) -> None:
    if os.environ.get("REQUIRE_CONTAINER") == "1":
        pytest.fail(f"REQUIRE_CONTAINER=1, but {what}", pytrace=False)
    pytest.skip(what)
