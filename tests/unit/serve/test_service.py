"""How many calls of a model run at a time: by the cores, and by whose functions they are."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.handlers import add_to_handler
from tests.support.server import ROOT

LANES = """
import sys, threading
from pathlib import Path
from unittest.mock import MagicMock
from container.serve import service
from container.serve.settings import Settings

service.suggested_threads = lambda: int(sys.argv[2])
settings = Settings.from_environment({"SAGEMAKER_MODEL_SERVER_WORKERS": "1"})
loaded = service.Service(service.Shared(settings, MagicMock()))
loaded.load(lambda: Path(sys.argv[1]))
print(sum(thread.name.startswith("model-") for thread in threading.enumerate()))
assert loaded.close(10)
"""


@pytest.mark.parametrize(("cores", "is_changed", "lanes"), [(1, False, 1), (2, False, 2), (16, False, 2), (2, True, 1)])
def test_lanes(own_base_dir, cores, is_changed, lanes):
    """In a process of its own: loading a model imports its code."""
    if is_changed:
        add_to_handler(own_base_dir, "# changed")
    command = [sys.executable, "-c", LANES, str(own_base_dir / "model"), str(cores)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert int(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout) == lanes
