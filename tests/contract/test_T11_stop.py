"""T11: Stop, MaxRuntime and spot send SIGTERM; the script must see it, once, and have the time to save its work."""

import os
import signal
import subprocess
import sys
import time

import pytest

from container.train import processes
from tests.support.training_job import TrainingJob

# Counts the signals; on the first it "writes a checkpoint" for a second, then ends in order
SAVES_ON_SIGNAL = """
    import os, pathlib, signal, sys, time
    base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
    rank = os.environ.get("RANK", "0")
    got = []
    def on_signal(number, frame):
        got.append(signal.Signals(number).name)
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    (base / f"ready-{rank}").touch()
    while not got:
        time.sleep(0.02)
    time.sleep(1)
    (base / "checkpoints" / f"saved-{rank}").write_text(" ".join(got))
"""


@pytest.fixture
def job(tmp_path):
    return TrainingJob(tmp_path / "job")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_T11_sigterm_reaches_the_script(job, number):
    job.program(SAVES_ON_SIGNAL)
    process = job.start()
    job.wait_for("ready-0")
    sent = time.monotonic()
    process.send_signal(number)
    result = job.finish()
    assert result.code == 0, result
    assert job.read("checkpoints/saved-0") == number.name  # once
    assert result.failure is None
    assert time.monotonic() - sent < 10  # of 120 s


def test_T11_sigterm_reaches_every_rank_once_and_torchrun_waits_for_the_checkpoints(job):
    job.program(SAVES_ON_SIGNAL)
    job.hyperparameters |= {
        "sagemaker_torch_distributed_enabled": "true",
        "sagemaker_mpi_num_of_processes_per_host": "2",
    }
    process = job.start()
    job.wait_for("ready-0", "ready-1")
    process.send_signal(signal.SIGTERM)
    result = job.finish()
    assert result.code == 0, result
    assert [job.read(f"checkpoints/saved-{rank}") for rank in range(2)] == ["SIGTERM", "SIGTERM"]


def test_T11_sigterm_passes_through_a_shell_program(job):
    job.program(SAVES_ON_SIGNAL, name="inner.py")
    job.program(f"#!/bin/bash\n{sys.executable} inner.py\necho shell-ended\n", name="run.sh")
    process = job.start()
    job.wait_for("ready-0")
    process.send_signal(signal.SIGTERM)
    result = job.finish()
    assert result.code == 0, result
    assert job.read("checkpoints/saved-0") == "SIGTERM"
    assert "shell-ended" in result.out


def test_T11_a_shell_with_a_trap_gets_the_signal_itself(job):
    job.program(
        "#!/bin/bash\ntrap 'touch ../trapped; exit 0' TERM\ntouch ../ready-0\nwhile true; do sleep 0.1; done\n",
        name="run.sh",
    )
    process = job.start()
    job.wait_for("ready-0")
    process.send_signal(signal.SIGTERM)
    assert job.finish().code == 0
    assert (job.base / "trapped").exists()


def test_T11_the_scripts_own_workers_are_left_alone(job):
    """Data loader workers must live on: the script still reads from them while it saves."""
    job.program(
        """
        import os, pathlib, signal, subprocess, sys, time
        base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
        worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        got = []
        signal.signal(signal.SIGTERM, lambda *_: got.append(1))
        (base / "ready-0").touch()
        while not got: time.sleep(0.02)
        time.sleep(0.5)
        alive = worker.poll() is None
        worker.kill()
        sys.exit(0 if alive else 5)
        """
    )
    process = job.start()
    job.wait_for("ready-0")
    process.send_signal(signal.SIGTERM)
    assert job.finish().code == 0


def test_T11_a_script_without_handler_ends_at_once_and_the_failure_file_says_why(job):
    job.program(
        """
        import os, pathlib, time
        pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "ready-0").touch()
        time.sleep(60)
        """
    )
    process = job.start()
    job.wait_for("ready-0")
    process.send_signal(signal.SIGTERM)
    result = job.finish(timeout=20)
    assert result.code == 128 + signal.SIGTERM
    assert result.failure is not None and "SIGTERM" in result.failure.splitlines()[0]


def test_T11_a_stop_before_the_script_runs_is_not_forgotten(job):
    job.program("import time; time.sleep(60)")
    process = job.start()
    deadline = time.monotonic() + 30
    while not processes.children_of(process.pid):  # the toolkit is starting, the script is not there yet
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert job.finish(timeout=30).code == 128 + signal.SIGTERM


ORPHANS = """
    import os, pathlib, subprocess, sys, time
    orphan_maker = "import os, time\\nif os.fork() == 0: time.sleep(0.3)"
    subprocess.run([sys.executable, "-c", orphan_maker])  # the grandchild outlives its parent
    supervisor = int(pathlib.Path(f"/proc/{os.getppid()}/stat").read_text().rsplit(")", 1)[1].split()[1])
    time.sleep(1.5)
    states = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try: fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError: continue
        if int(fields[1]) == supervisor: states.append(fields[0])
    print("states of the children of train:", sorted(set(states)))
    sys.exit("Z" in states)
"""


def test_T11_orphans_are_reaped(job):
    job.program(ORPHANS)
    result = job.run()
    assert result.code == 0, result
    assert "states of the children of train" in result.out


def test_T11_nothing_is_left_running(job):
    job.program(
        """
        import os, pathlib, subprocess, sys
        left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "pid").write_text(str(left.pid))
        """
    )
    assert job.run().code == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(job.read("pid")), 0)


def _unshare_works() -> bool:
    command = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not _unshare_works(), reason="a process-number space of its own needs root")
def test_T11_as_process_1(job, monkeypatch):
    """As in a container: the kernel drops signals for which process 1 has no handler."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-m", "container.train"]
    monkeypatch.setattr("tests.support.training_job.TRAIN", command)
    job.program(SAVES_ON_SIGNAL)
    process = job.start()
    job.wait_for("ready-0")
    (train,) = processes.children_of(process.pid)
    os.kill(train.pid, signal.SIGTERM)
    result = job.finish()
    assert result.code == 0, result
    assert job.read("checkpoints/saved-0") == "SIGTERM"
