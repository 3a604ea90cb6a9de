"""`train`: run a training job the way SageMaker starts it (T1: exec form, process 1, no arguments).

Hyperparameters and data are those of the job folder, /opt/ml or what SAGEMAKER_BASE_DIR names. To train on this
machine: `make train-local`, or `python -m container.local_job --help`.
"""

from __future__ import annotations

import sys

from container.train.supervisor import main

if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        sys.exit(0)
    sys.exit(main(sys.argv[1:]))
