"""What both launchers need to know about a job: where its data is, its hyperparameters, its folder of code."""

from __future__ import annotations

import argparse
import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from container.local_job import JobSetupError, parse_hyperparameters, parse_pairs
from container.serve.model_check import UnsafeModelError, check, open_archive

CODE = Path(__file__).resolve().parents[1] / "code"
ENTRY_POINT = "train.py"
LOCAL = "local"
LOCAL_ROLE = "arn:aws:iam::000000000000:role/local"  # local mode asks for one and never uses it
LOCAL_REGION = "us-east-1"  # likewise
TENSORBOARD = "/opt/ml/output/tensorboard"  # in the container
SDK_DEFAULTS = Path(__file__).resolve().with_name("sdk-defaults.yaml")
HOURS = 24.0  # SDK v2's own default; v3's is one hour, after which a longer job would be ended
VOLUME_GB = 30  # of the disk for data, checkpoints and the model; both SDKs' own default
SPOT_WAIT = 24.0  # hours that a spot job may wait for instances, in all, beside its run time


class LaunchError(Exception):
    """The job cannot be started as it was asked for; the message says what to change."""


def runs_here(instance_type: str) -> bool:
    return instance_type.startswith(LOCAL)


def check_place(instance_type: str, role: str, **addresses: str) -> None:
    """Whether what is asked for can run where it is asked for.

    Raises:
        LaunchError: AWS without a role of the user's, or with an address of `addresses` (by option) on this machine.
    """
    if runs_here(instance_type):
        return
    if role == LOCAL_ROLE:
        raise LaunchError(f"--role is missing: {instance_type} runs on AWS, under an IAM role of yours")
    for option, address in addresses.items():
        if not address.startswith("s3://"):
            raise LaunchError(f"--{option}: {instance_type} runs on AWS: expected an s3:// address, got {address!r}")


def check_here(**places: str) -> None:
    """Raises LaunchError naming the option of a path on this machine that isn't there."""
    for option, place in places.items():
        if "://" not in place and not Path(place).exists():
            raise LaunchError(f"--{option}: expected an s3:// address, or a path that is there; got {place!r}")


def parse_ranges(pairs: Sequence[str]) -> dict[str, str]:
    """Ranges of hyperparameters. Raises LaunchError naming what is none, or given twice."""
    try:
        return parse_pairs("--range", pairs, "learning_rate=0.0003:0.003")
    except JobSetupError as error:
        raise LaunchError(str(error)) from error


def parse_variables(pairs: Sequence[str]) -> dict[str, str]:
    """Environment variables of a serving container. Raises LaunchError naming what is none, or given twice."""
    try:
        return parse_pairs("--env", pairs, "SERVE_PRECISION=int8")
    except JobSetupError as error:
        raise LaunchError(str(error)) from error


def add_role(parser: argparse.ArgumentParser) -> None:
    role = os.environ.get("SAGEMAKER_ROLE") or LOCAL_ROLE
    parser.add_argument("--role", default=role, help="IAM role on AWS (default: SAGEMAKER_ROLE)")


@dataclass(frozen=True)
class Job:
    """A training job. `data`, `validation` and `model` are s3:// addresses; in local mode folders as well.

    `checkpoints` is where SageMaker keeps /opt/ml/checkpoints: a `spot` job that was interrupted, or a later job with
    the same address, goes on from there (T12). `tensorboard` is where it keeps the curves while the job runs.
    """

    image: str
    instance_type: str = LOCAL
    instance_count: int = 1
    role: str = LOCAL_ROLE
    data: str | None = None
    validation: str | None = None
    model: str | None = None
    output: str | None = None
    checkpoints: str | None = None
    tensorboard: str | None = None
    spot: bool = False
    max_hours: float = HOURS
    hyperparameters: tuple[tuple[str, str], ...] = ()
    input_mode: str = "File"
    torchrun: bool = False
    volume_gb: int = VOLUME_GB

    def __post_init__(self) -> None:
        places = {"output": self.output, "checkpoints": self.checkpoints, "tensorboard": self.tensorboard}
        check_place(self.instance_type, self.role, **{name: place for name, place in places.items() if place})
        if self.instance_count < 1 or self.max_hours <= 0 or self.volume_gb < 1:
            raise LaunchError("--instance-count, --max-hours and --volume-gb: expected a number above 0")
        if self.is_local and (self.spot or self.checkpoints or self.tensorboard):
            raise LaunchError(
                "--spot, --checkpoints and --tensorboard: expected an instance type of AWS; a local job has none "
                "(--hp tensorboard=true writes curves into output/tensorboard)"
            )
        if self.spot and not self.checkpoints:
            raise LaunchError("--spot: --checkpoints is missing, without which an interrupted job begins anew")
        for channel, address in self.channels.items():
            if not address.startswith("s3://") and not (self.is_local and Path(address).is_dir()):
                where = "an s3:// address or a folder" if self.is_local else "an s3:// address"
                raise LaunchError(f"data for channel {channel!r}: expected {where}, got {address!r}")

    @property
    def given_hyperparameters(self) -> dict[str, str]:
        """With those that other options of the job need."""
        needed = {"tensorboard": "true"} if self.tensorboard else {}
        return {**needed, **dict(self.hyperparameters)}

    @property
    def is_local(self) -> bool:
        """Whether it runs with Docker on this machine."""
        return runs_here(self.instance_type)

    @property
    def channels(self) -> dict[str, str]:
        given = {"train": self.data, "validation": self.validation, "model": self.model}
        return {name: address for name, address in given.items() if address}

    def input_mode_of(self, channel: str) -> str:
        """That of the job; a model to begin with isn't read in a row, as FastFile mode would have it (T6)."""
        return "File" if channel == "model" else self.input_mode

    @property
    def max_seconds(self) -> int:
        return round(self.max_hours * 3600)

    @property
    def max_wait_seconds(self) -> int | None:
        """How long a spot job may take in all, waiting for instances included."""
        return self.max_seconds + round(SPOT_WAIT * 3600) if self.spot else None

    @property
    def is_distributed(self) -> bool:
        """Whether the script runs under torchrun: one process a GPU, on every host."""
        return self.torchrun or self.instance_count > 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a training job, alike for both SDKs."""
    parser.add_argument("--image", required=True, help="training image: an ECR address, or a local tag in local mode")
    parser.add_argument("--instance-type", default=LOCAL, help="e.g. ml.g5.xlarge; `local` runs with Docker here")
    parser.add_argument("--instance-count", type=int, default=1)
    parser.add_argument("--torchrun", action="store_true", help="one process a GPU; always so with several hosts")
    add_role(parser)
    parser.add_argument("--data", help="channel `train`; without it the embedded data set")
    parser.add_argument("--validation", help="channel `validation`; else a part of the data")
    parser.add_argument("--model", help="channel `model`: a model to begin with, instead of hyperparameter `init`")
    parser.add_argument("--output", help="where model.tar.gz goes: s3://..., or a folder in local mode")
    parser.add_argument("--hp", nargs="*", action="extend", default=[], metavar="NAME=VALUE", help="hyperparameters")
    parser.add_argument("--input-mode", default="File", choices=["File", "FastFile"])
    parser.add_argument("--max-hours", type=float, default=HOURS, help="AWS ends the job then (default: %(default)g)")
    parser.add_argument("--volume-gb", type=int, default=VOLUME_GB, help="disk of an instance (default: %(default)s)")
    parser.add_argument("--checkpoints", help="s3://...; a job goes on from the checkpoints that it finds there")
    parser.add_argument("--tensorboard", help="s3://... for curves, copied there while the job runs")
    parser.add_argument("--spot", action="store_true", help="spot instances; needs --checkpoints")


def job_from(options: argparse.Namespace) -> Job:
    """The job that options of `add_arguments` describe; says what it could lose.

    Raises:
        LaunchError: a malformed hyperparameter or address.
    """
    try:
        hyperparameters = parse_hyperparameters(options.hp)
    except JobSetupError as error:
        raise LaunchError(str(error)) from error
    if not (runs_here(options.instance_type) or options.checkpoints):
        print("note: without --checkpoints s3://... a job that fails can't be gone on with", file=sys.stderr)
    return Job(
        image=options.image,
        instance_type=options.instance_type,
        instance_count=options.instance_count,
        role=options.role,
        data=options.data,
        validation=options.validation,
        model=options.model,
        output=options.output,
        checkpoints=options.checkpoints,
        tensorboard=options.tensorboard,
        spot=options.spot,
        max_hours=options.max_hours,
        hyperparameters=tuple(hyperparameters.items()),
        input_mode=options.input_mode,
        torchrun=options.torchrun,
        volume_gb=options.volume_gb,
    )


def prepare_local_aws() -> None:
    """Local mode calls nothing of AWS, but boto3 wants a region and, for some clients, credentials.

    To be called before the SDK is imported.
    """
    os.environ.setdefault("SAGEMAKER_USER_CONFIG_OVERRIDE", str(SDK_DEFAULTS))
    os.environ.setdefault("AWS_DEFAULT_REGION", LOCAL_REGION)
    os.environ.setdefault("AWS_ACCESS_KEY_ID", LOCAL)
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", LOCAL)


def as_served(place: str) -> str:
    """A model as local mode takes it: of an archive on this machine a temporary folder, which goes with this process.

    The SDK would unpack it into the folder where it lies, over what is there, and mount that whole folder.

    Raises:
        LaunchError: it is no archive of a model.
    """
    archive = Path(place.removeprefix("file://"))
    if not archive.is_file():
        return place
    folder = Path(tempfile.mkdtemp(prefix="model-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        with open_archive(archive) as opened:
            check(opened.members(), any_type=True)
        with open_archive(archive) as opened:
            opened.unpack(folder)
    except UnsafeModelError as error:
        raise LaunchError(f"--model {archive}: {error}") from error
    folder.chmod(0o755)  # for the container's user
    return as_address(str(folder))


def as_address(place: str) -> str:
    """A folder as `file://` address; s3:// stays."""
    return place if "://" in place else f"file://{as_path(place)}"  # as it is: the SDK decodes no %20


def as_path(place: str) -> str:
    """A folder as an absolute path; s3:// stays."""
    return place if "://" in place else str(Path(place).resolve())


def exit_code(run: Callable[[], object]) -> int:
    """Runs a launcher's action: 0, 2 if it could not be started as asked for, 1 if it failed, 130 after Ctrl-C."""
    try:
        run()
    except LaunchError as error:
        print(f"launch: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("launch: interrupted; what has begun on AWS goes on there, and is stopped there", file=sys.stderr)
        return 130
    except Exception as error:  # of the SDK, boto3 or Docker: their messages say why, a traceback through them hides it
        print(f"launch: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0
