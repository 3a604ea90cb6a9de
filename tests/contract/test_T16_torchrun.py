"""T16: `distribution={"torch_distributed": {"enabled": True}}` runs the script under torchrun; T5: on every host."""

import pytest

from tests.support.training_job import TrainingJob

# Each rank adds its number up with the others (gloo), as gradients are
ALL_REDUCE = """
    import os, pathlib, sys
    import torch, torch.distributed as dist
    dist.init_process_group("gloo")
    total = torch.tensor([float(dist.get_rank() + 1)])
    dist.all_reduce(total)
    base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
    (base / f"rank-{dist.get_rank()}").write_text(
        f"{int(total)} {dist.get_world_size()} {os.environ['NCCL_SOCKET_IFNAME']} {os.environ['MASTER_PORT']}"
        f" {' '.join(sys.argv[1:])}"
    )
    dist.destroy_process_group()
"""


def distributed(base, processes=1, **job):
    made = TrainingJob(base, **job)
    made.hyperparameters |= {
        "sagemaker_torch_distributed_enabled": "true",
        "sagemaker_instance_type": '"local"',
        "sagemaker_mpi_num_of_processes_per_host": str(processes),
        "epochs": "3",
    }
    return made


def test_T16_two_ranks_on_one_host(tmp_path):
    job = distributed(tmp_path / "job", processes=2)
    job.program(ALL_REDUCE)
    result = job.run()
    assert result.code == 0, result
    for rank in range(2):
        total, world, interface, _port, *arguments = job.read(f"rank-{rank}").split()
        assert (total, world, interface) == ("3", "2", "lo")
        assert arguments == ["--epochs", "3"]


def test_T16_T18_ranks_of_one_host_need_no_name_service(tmp_path):
    """A container without a network can't look up its own name."""
    job = distributed(tmp_path / "job", processes=2)
    job.program("""
        import os, pathlib
        base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
        (base / f"rank-{os.environ['RANK']}").write_text(os.environ["MASTER_ADDR"])
    """)
    result = job.run()
    assert result.code == 0, result
    assert [job.read(f"rank-{rank}") for rank in range(2)] == ["localhost", "localhost"]


@pytest.mark.slow
def test_T16_two_hosts_meet_at_port_7777_of_the_first(tmp_path):
    hosts = ("localhost", "127.0.0.1")  # two names of one machine
    jobs = [distributed(tmp_path / f"host-{index}", host=host, hosts=hosts) for index, host in enumerate(hosts)]
    for job in jobs:
        job.program(ALL_REDUCE)
        job.start()
    results = [job.finish() for job in jobs]
    assert [result.code for result in results] == [0, 0], results
    for rank, job in enumerate(jobs):
        assert job.read(f"rank-{rank}").split()[:4] == ["3", "2", "lo", "7777"]


def test_T16_a_rank_that_fails_fails_the_job_with_its_own_error(tmp_path):
    job = distributed(tmp_path / "job", processes=2)
    job.program(
        """
        import os, time
        if os.environ["RANK"] == "1":
            raise ValueError("rank 1 has no data")
        time.sleep(60)
        """
    )
    result = job.run()
    assert result.code == 1, result
    assert result.failure is not None
    assert result.failure.splitlines()[0] == "ValueError: rank 1 has no data"


def test_T9_T16_an_error_line_of_a_rank_comes_first(tmp_path):
    job = distributed(tmp_path / "job", processes=2)
    job.program("import sys; print('error: gt.txt line 4: no tab', file=sys.stderr); sys.exit(1)")
    result = job.run()
    assert result.failure is not None
    assert result.failure.splitlines()[0] == "gt.txt line 4: no tab", result


def test_T16_two_jobs_on_one_machine_do_not_meet(tmp_path):
    jobs = [distributed(tmp_path / f"job-{index}", processes=2) for index in range(2)]
    for job in jobs:
        job.program(ALL_REDUCE)
        job.start()
    results = [job.finish() for job in jobs]
    assert [result.code for result in results] == [0, 0], results


def test_T9_T16_a_rank_killed_for_memory_says_so(tmp_path):
    job = distributed(tmp_path / "job", processes=2)
    job.program(
        """
        import os, signal, time
        if os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
        """
    )
    result = job.run()
    assert result.code == 1, result
    assert result.failure is not None
    assert "SIGKILL" in result.failure.splitlines()[0] and "memory" in result.failure.splitlines()[0], result


def test_T16_without_the_distribution_there_is_one_plain_process(tmp_path):
    job = TrainingJob(tmp_path / "job")
    job.program("import os, sys; sys.exit('RANK' in os.environ)")
    assert job.run().code == 0


def test_T16_a_module_of_the_jobs_own_is_respected(tmp_path):
    job = TrainingJob(tmp_path / "job")
    (job.base / "lib").mkdir(parents=True)
    (job.base / "lib/framework.py").write_text("def main(): print('framework of the job')\n")
    job.variables = {"SAGEMAKER_TRAINING_MODULE": "framework:main", "PYTHONPATH": str(job.base / "lib")}
    result = job.run()
    assert result.code == 0, result
    assert "framework of the job" in result.out


@pytest.mark.slow
def test_T10_T16_the_recognizers_own_program_meets_on_all_hosts_though_no_distribution_was_asked_for(tmp_path):
    """`Estimator(instance_count=2)` says nothing of one. Each host trained a model of its own, to the same address."""
    hosts = ("localhost", "127.0.0.1")
    jobs = [TrainingJob(tmp_path / f"host-{index}", host=host, hosts=hosts) for index, host in enumerate(hosts)]
    for job in jobs:
        job.program(ALL_REDUCE, name="train.py")
        (job.base / "code/recognizer").mkdir()
        job.start()
    results = [job.finish() for job in jobs]
    assert [result.code for result in results] == [0, 0], results
    ranks = sorted(path.name for job in jobs for path in job.base.glob("rank-*"))
    assert ranks == ["rank-0", "rank-1"]


def test_T16_a_distribution_that_isnt_run_here_is_refused(tmp_path):
    job = TrainingJob(tmp_path / "job")
    job.program("print('alone')")
    job.hyperparameters["sagemaker_distributed_dataparallel_enabled"] = "true"
    result = job.run()
    assert result.code == 1
    assert result.failure is not None and "sagemaker_distributed_dataparallel_enabled" in result.failure, result


@pytest.mark.parametrize("value", ["false", '"false"'])
def test_T3_T16_a_distribution_that_is_off_is_none(tmp_path, value):
    job = TrainingJob(tmp_path / "job")
    job.program("import os, sys; sys.exit('RANK' in os.environ)")
    job.hyperparameters["sagemaker_torch_distributed_enabled"] = value
    assert job.run().code == 0
