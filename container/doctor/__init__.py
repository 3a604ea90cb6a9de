"""`python -m container.doctor`: is this environment fit to train or serve, and if not, what to do.

Works in both images and outside. Standard library only (and `packaging`, where it is installed): a doctor that needs
the patient's packages cannot say that they are missing.

    check.py     what a finding is
    packages.py  versions against the lock files, imports, files that shadow packages
    machine.py   CPUs and threads, shared memory, GPU and driver, folders
"""
