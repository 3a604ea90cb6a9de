"""The `train` program of the training image: a supervisor around the sagemaker-training toolkit.

    __main__.py    `python -m container.train`; starts the supervisor
    supervisor.py  process 1: forwards signals, reaps orphans, keeps the last of stderr, decides the exit code
    processes.py   which of the running processes is the user's script (it is the one that wants the signal)
    failure.py     /opt/ml/output/failure: the line a person needs first, then the traceback
    jobdir.py      the job folder (/opt/ml, or SAGEMAKER_BASE_DIR) and what must stand in it
    toolkit.py     the child process: the toolkit's own `train`, with its log kept apart from the script's stderr
    launcher.py    what the toolkit calls (SAGEMAKER_TRAINING_MODULE): default program, host names, torchrun

The rules it answers to are rows T1-T18 of the SageMaker container contract; tests/contract/test_T*.py holds a
test for each and the modules name the row where they serve it.
"""
