"""The child process of `train`: the sagemaker-training toolkit, told to call our launcher.

A process of its own, because the toolkit waits for the script with waitpid and process 1 has to reap everybody's
orphans: in one process the two would steal each other's exit codes. Its log goes to stdout, so that stderr holds
what the SCRIPT says and nothing else (the failure file is made of it, T9).
"""

from __future__ import annotations

import logging
import os
import sys

from container.train import launcher

LAUNCHER = "container.train.launcher:main"
LOG_FORMAT = "%(asctime)s %(name)s %(levelname)s %(message)s"


def main() -> int:
    """Run the toolkit's `train`; returns the exit code of the user's script, 128 + N if signal N ended it."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format=LOG_FORMAT)
    logging.getLogger(launcher.TOOLKIT_LOGGER).setLevel(logging.WARNING)
    os.environ.setdefault("SAGEMAKER_TRAINING_MODULE", LAUNCHER)  # T16; a job may name its own

    # here, not at the top: importing it already creates folders and reads the environment
    from sagemaker_training import trainer

    try:
        trainer.train()
    except SystemExit as end:  # it always ends this way
        return launcher.script_exit_code or int(end.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
