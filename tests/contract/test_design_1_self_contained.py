"""Design rule 1: what serves needs nothing of the training side."""

from __future__ import annotations

import sys

from tests.support.server import Server
from tests.support.tiny_model import formula_picture, png

BLOCKED = ["torch", "albumentations", "scipy", "recognizer", "sagemaker_training", "boto3"]
RUN_WITHOUT = """
import runpy, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"{{name}} is blocked by the test", name=name)

sys.meta_path.insert(0, Blocker())
{also}
runpy.run_module("container.serve", run_name="__main__", alter_sys=True)
"""


def test_design_1_L10_serves_with_the_training_side_blocked(tiny_base_dir, tiny_server):
    picture = png(formula_picture())
    command = [sys.executable, "-c", RUN_WITHOUT.format(blocked=BLOCKED, also="")]
    with Server(tiny_base_dir, command=command) as server:
        server.wait_until_ready()
        assert server.invoke(picture).json() == tiny_server.invoke(picture).json()


def test_design_1_the_block_works(tiny_base_dir):
    """The same start with an import of the training side in it must fail."""
    command = [sys.executable, "-c", RUN_WITHOUT.format(blocked=BLOCKED, also="import recognizer")]
    with Server(tiny_base_dir, command=command) as server:
        status, log = server.finish()
    assert status == 1
    assert "recognizer is blocked by the test" in log
