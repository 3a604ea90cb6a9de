"""`train`: run a training job the way SageMaker starts it (T1: exec form, process 1, no arguments)."""

from __future__ import annotations

import sys

from container.train.supervisor import main

if __name__ == "__main__":
    sys.exit(main())
