"""Entry point of training: hyperparameters from the command line, folders from the environment.

    python train.py --epochs 10 --learning-rate 0.001

Runs under SageMaker's toolkit, under torchrun, under ModelTrainer, or from a shell. SIGTERM or Ctrl-C saves a
checkpoint and ends with exit code 0; the same command goes on from there. A mistake of the user's is one line on
stderr, the exit code 1.
"""

from __future__ import annotations

import os
import sys
import traceback

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no look-up of newer versions over the network
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait leave the core to the loader

from recognizer.training.reason import forget_reason, state_reason, tell_model_trainer
from recognizer.training.stop import BEFORE_TRAINING, StopSignal


def main() -> int:
    stop = StopSignal().listen()  # first of all: torch and the others take seconds to import
    forget_reason()
    from recognizer.training.cores import share_cores

    share_cores()
    from recognizer.config import ConfigError, Hyperparameters, parse_arguments
    from recognizer.data.sample import DataError
    from recognizer.disk import NoRoomError
    from recognizer.training.checkpoint import CheckpointError
    from recognizer.training.compiled import CompileError
    from recognizer.training.heap import keep_freed_memory
    from recognizer.training.heartbeat import LostRankError
    from recognizer.training.job import Folders, run
    from recognizer.training.precision import NotFiniteError

    keep_freed_memory()
    try:
        settings = Hyperparameters.from_strings(parse_arguments(sys.argv[1:]))
        if stop and os.environ.get("WORLD_SIZE", "1") == "1":  # several ranks have to meet, and stop together in `run`
            print(BEFORE_TRAINING, flush=True)
            return 0
        run(settings, Folders.from_environment(), stop)
    except (ConfigError, DataError, CheckpointError, CompileError, LostRankError, NoRoomError, NotFiniteError) as error:
        state_reason(str(error))
        return 1
    except Exception as error:
        tell_model_trainer(f"{type(error).__name__}: {error}\n{traceback.format_exc()}\n")
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
