"""T5: the host names of a job may resolve late; `train` waits for them, but not for ever."""

import pytest

from container.train import launcher
from tests.support.training_job import TrainingJob


def test_T5_a_host_that_resolves_late_is_waited_for():
    attempts = []

    def lookup(host):
        attempts.append(host)
        if host == "algo-2" and attempts.count("algo-2") < 4:
            raise OSError("Name or service not known")
        return "10.0.0.1"

    slept: list[float] = []
    launcher._wait_for_hosts(["algo-1", "algo-2"], lookup=lookup, sleep=slept.append)
    assert attempts.count("algo-2") == 4
    assert slept == sorted(slept) and len(slept) == 3  # longer each time


def test_T5_a_host_that_never_comes_is_named():
    def lookup(host):
        raise OSError("Name or service not known")

    slept: list[float] = []
    with pytest.raises(Exception, match=r"'algo-1'.*no address after 20 s.*algo-1, algo-2"):
        launcher._wait_for_hosts(["algo-1", "algo-2"], timeout=20, lookup=lookup, sleep=slept.append)
    assert 20 <= sum(slept) < 40


def test_T5_a_job_of_one_host_needs_no_name_service(tmp_path):
    """Local mode and network isolation: the container's own name may have no address at all."""
    job = TrainingJob(tmp_path / "job", host="algo-1-x0y1z", hosts=("algo-1-x0y1z",))
    job.program("import os; print('host', os.environ['SM_CURRENT_HOST'], os.environ['SM_HOSTS'])")
    result = job.run(timeout=30)
    assert result.code == 0, result
    assert 'host algo-1-x0y1z ["algo-1-x0y1z"]' in result.out


def test_T5_the_network_interface_reaches_the_script(tmp_path):
    job = TrainingJob(tmp_path / "job")
    job.resources["network_interface_name"] = "eth7"
    job.program("import os; print('interface', os.environ['SM_NETWORK_INTERFACE_NAME'])")
    assert "interface eth7" in job.run().out
