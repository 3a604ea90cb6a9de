"""What the toolkit calls to start the user's script: it settles WHICH program runs, where, and under what.

The toolkit (5.1.4) has the parts, but puts them together only for a plain process or MPI (T16), installs a default
program nowhere (T2), waits up to 15 minutes for host names even in a job of one host (T5), and runs code left in
/opt/ml/code instead of the job's own (T2). Its runner for torchrun is used as it is, except that it is called
with named arguments: `entry_point.run` hands them over in the wrong order, and a failed job would count as done.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sagemaker_training.environment import Environment
    from sagemaker_training.process import ProcessRunner

DEFAULT_PROGRAM = "train.py"
HOST_TIMEOUT = 300.0  # seconds; hosts of one job start within a few minutes of each other
TORCH_DISTRIBUTED = "sagemaker_torch_distributed_enabled"
TORCHRUN_ADDRESS = "PET_LOCAL_ADDR"  # torchrun's option --local_addr as a variable
PYTORCH_DDP = "sagemaker_pytorch_ddp_enabled"  # the SDK's older name for the same
MPI = "sagemaker_mpi_enabled"
NOT_RUN = ("sagemaker_distributed_dataparallel_enabled", "sagemaker_parameter_server_enabled")

MAX_VARIABLE = 128 * 1024  # bytes of one variable, `NAME=value` and the closing zero: the kernel's MAX_ARG_STRLEN
TOOLKIT_LOGGER = "sagemaker-training-toolkit"  # at INFO it prints the whole environment, a hundred lines, twice

logger = logging.getLogger("train")
script_exit_code: int | None = None  # set when the script has failed; the toolkit itself always exits with 1


def main() -> None:
    """Run the program of this job and wait for it (the toolkit's `pkg:main` hook).

    Raises the toolkit's ClientError (its message goes to the failure file) if the program is missing or fails.
    """
    from sagemaker_training import environment, errors

    env = environment.Environment()
    if env.log_level < logging.INFO:  # the job asks for all of it: container_log_level=logging.DEBUG
        logging.getLogger(TOOLKIT_LOGGER).setLevel(env.log_level)
    program = _settle_program(env)
    variables = _passable(env.to_env_vars())
    environment.write_env_vars(variables)
    _put_interpreter_first_on_path()
    if len(env.hosts) == 1:  # else torchrun's ranks look for each other by the container's name, which has no address
        os.environ.setdefault(TORCHRUN_ADDRESS, "localhost")  # without a network: 300 s, then an error (T18)
    _wait_for_hosts(env.hosts)
    process = _runner(env, program, variables)
    logger.info("starting %s from %s (%s)", program, environment.code_dir, type(process).__name__)
    logger.info("channels: %s; hyperparameters: %s", env.channel_input_dirs, env.hyperparameters)
    try:
        process.run(wait=True, capture_error=False)
    except errors.ExecuteUserScriptError as error:
        _remember_exit_code(error)
        raise


def default_code_dir() -> Path:
    """The recognizer's own code: /opt/program/code in the image, code/ of the repository outside one."""
    return Path(__file__).resolve().parents[2] / "code"


def _settle_program(env: Environment) -> str:
    """Name of the program to run inside `environment.code_dir`, which is pointed at the folder that holds it."""
    from sagemaker_training import entry_point, environment, errors

    if not env.user_entry_point:  # T2: the job names none
        _refuse_pipes(env.input_data_config)
        environment.code_dir = str(default_code_dir())
        return DEFAULT_PROGRAM  # its requirements are baked into the image: nothing to install
    if env.module_dir != environment.code_dir:
        _fetch_code(env.module_dir)
    code_dir = Path(environment.code_dir)
    program = str(env.user_entry_point)
    if not (code_dir / "setup.py").exists() and not (code_dir / program).is_file():
        held = ", ".join(sorted(path.name for path in code_dir.iterdir())) or "nothing"
        raise errors.ClientError(
            f"the program {program!r} is not in {code_dir}, which holds: {held}. Check entry_point and source_dir "
            f"of the job (hyperparameters sagemaker_program and sagemaker_submit_directory, variable "
            f"SAGEMAKER_PROGRAM)."
        )
    entry_point.install(program, environment.code_dir)  # T8: requirements.txt
    return program


def _refuse_pipes(channels: dict[str, dict[str, str]]) -> None:
    """T6: the recognizer's own program reads files, and shards through a pipe. One of the job's own may do more."""
    from sagemaker_training import errors

    for name, channel in channels.items():
        if channel.get("TrainingInputMode") == "Pipe" and (name != "train" or "index" not in channels):
            raise errors.ClientError(
                f"channel {name!r} has input mode Pipe, and pictures are read as files: use input mode File or "
                "FastFile. Shards come through a pipe `train` if their folder index/ is a channel `index` in File mode"
            )


def _fetch_code(uri: str) -> None:
    """Unpack the job's `source_dir`. Into a folder of its own where /opt/ml/code is taken: the toolkit would skip
    it without a word and run what stands there (T2)."""
    from sagemaker_training import environment, files

    code_dir = Path(environment.code_dir)
    if code_dir.is_dir() and any(code_dir.iterdir()):
        fresh = code_dir.with_name("code-of-this-job")
        shutil.rmtree(fresh, ignore_errors=True)
        logger.warning("%s is not empty; the job's source_dir %s goes to %s", code_dir, uri, fresh)
        environment.code_dir = str(fresh)
    files.download_and_extract(uri=uri, path=environment.code_dir)


def _passable(variables: dict[str, str]) -> dict[str, str]:
    """Those that a process can be started with (T3: a hundred long hyperparameters are too much for one SM_HPS)."""
    long = [name for name, value in variables.items() if len(f"{name}={value}".encode()) >= MAX_VARIABLE]
    if long:
        logger.warning("left out, as they are longer than 128 KiB: %s", ", ".join(long))
    return {name: value for name, value in variables.items() if name not in long}


def _put_interpreter_first_on_path() -> None:
    """`torchrun` and `pip` of the running interpreter are meant, also in an environment that is not activated."""
    folder = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", os.defpath)])


def _runner(env: Environment, program: str, variables: dict[str, str]) -> ProcessRunner:
    """The toolkit's runner for what the job asks for with `distribution=...` (T16).

    The recognizer's own program runs under torchrun wherever there are several hosts: else each would train a model of
    its own, and write it to the same place (T10).

    Raises:
        ClientError: a distribution that isn't run here.
    """
    from sagemaker_training import environment, errors, runner
    from sagemaker_training.runner import RunnerType
    from sagemaker_training.torch_distributed import TorchDistributedRunner

    asked = {name for name, value in env.additional_framework_parameters.items() if _is_true(value)}
    if unknown := asked & set(NOT_RUN):
        raise errors.ClientError(
            f"{min(unknown)}: that distribution isn't run here; "
            'expected distribution={"torch_distributed": {"enabled": True}}'
        )
    is_own = program == DEFAULT_PROGRAM and (Path(environment.code_dir) / "recognizer").is_dir()
    if is_own and env.is_hetero:
        raise errors.ClientError("the job has several instance groups; the recognizer trains on hosts of one group")
    arguments, is_asked = env.to_cmd_args(), env.current_instance_group in env.distribution_instance_groups
    if asked & {TORCH_DISTRIBUTED, PYTORCH_DDP} and is_asked:
        return runner.get(RunnerType.TorchDistributed, program, arguments, variables)
    if MPI in asked and is_asked:
        return runner.get(RunnerType.MPI, program, arguments, variables)
    gpus = int(env.num_gpus)
    if is_own and len(env.hosts) > 1:  # `runner.get` would take none of the hosts, as none was asked for
        hosts, kind = sorted(env.hosts), env.current_instance_type
        place = (hosts[0], hosts, env.current_host, env.network_interface_name)
        return TorchDistributedRunner(program, arguments, variables, max(1, gpus), *place, instance_type=kind)
    if is_own and gpus > 1:
        logger.warning("one of %d GPUs is used; all are with the hyperparameter %s=true", gpus, TORCH_DISTRIBUTED)
    return runner.get(RunnerType.Process, program, arguments, variables)


def _is_true(value: object) -> bool:
    """Whether a switch is on; some launchers JSON-encode the text once more."""
    return str(value).strip('"').lower() == "true"


def _wait_for_hosts(
    hosts: list[str],
    timeout: float = HOST_TIMEOUT,
    lookup: Callable[[str], str] = socket.gethostbyname,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until every host of the job has an address (T5); a job of one host needs none.

    Raises ClientError naming the host once `timeout` seconds have passed.
    """
    from sagemaker_training import errors

    if len(hosts) < 2:
        return
    waited, pause = 0.0, 0.25
    for host in hosts:
        while True:
            try:
                lookup(host)
                break
            except OSError as error:
                if waited >= timeout:
                    raise errors.ClientError(
                        f"host {host!r} of resourceconfig.json has no address after {timeout:.0f} s ({error}). "
                        f"The job's hosts: {', '.join(hosts)}. Check that all of them started."
                    ) from error
                logger.info("waiting for host %s (%s)", host, error)
            sleep(pause)
            waited += pause
            pause = min(pause * 2, 10.0)


def _remember_exit_code(error: Any) -> None:
    global script_exit_code
    code = int(error.return_code)
    script_exit_code = code if code >= 0 else 128 - code  # subprocess gives -N for signal N; a shell 128 + N
