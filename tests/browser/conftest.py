"""Chromium and servers with the page; without a browser these tests are skipped, or fail (REQUIRE_BROWSER=1)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Page, start_chromium
from tests.support.server import ROOT, Server

PAGE = {"SERVE_PAGE": "1"}


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        _missing("no chromium or no chromedriver is on the path; on Debian: apt-get install chromium chromium-driver")
    driver = start_chromium(*map(str, programs))
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def page_server(tiny_base_dir: Path) -> Iterator[Server]:
    """The tiny model behind the page."""
    with Server(tiny_base_dir, PAGE) as server:
        yield server.wait_until_ready()


@pytest.fixture(scope="session")
def shipped_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The weights of this repository behind the page."""
    base = tmp_path_factory.mktemp("shipped")
    (base / "model").symlink_to(ROOT / "weights")
    with Server(base, PAGE) as server:
        yield server.wait_until_ready()


@pytest.fixture
def page(chromium, page_server) -> Page:
    return Page(chromium, page_server)


def _missing(what: str) -> None:
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(f"REQUIRE_BROWSER=1, but {what}", pytrace=False)
    pytest.skip(what)
