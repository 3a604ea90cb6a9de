"""Run a training job on this machine as SageMaker would: `python -m container.local_job --out build/train-local`.

Lays out the job folder that SageMaker mounts at /opt/ml, starts the `train` program on it - as a plain process, or
with `--image IMAGE` in the training image - and packs what it leaves in model/ into model.tar.gz, flat (T10). It is
what `make train-local` runs.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from container.train.jobdir import BASE_DIR_VARIABLE, CONFIG_DEFAULTS, DEFAULT_BASE_DIR

ROOT = Path(__file__).resolve().parents[1]
MAX_HYPERPARAMETERS = 100  # T3: SageMaker's own limits, so that a job that runs here runs there
MAX_VALUE = 2500
MAX_NAME = 256
LEARNED = ("model", "checkpoints")
RESULTS = (*LEARNED, "output/data")  # what a job leaves to its user
MODELS, SHIPPED = ("init", "teacher"), "default"  # hyperparameters that may name a model; what means the shipped one


class JobSetupError(Exception):
    """The job cannot be started; the message says what to change."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code of `train`, or 2 for a job that was not started."""
    options = _parser().parse_args(arguments)
    try:
        channels = {name: _data_folder(name, path) for name, path in _channels(options).items()}
        hyperparameters, models = find_models(parse_hyperparameters(options.hp))
        docker = _engine_with(options.image) if options.image else []  # before the job before is cleared away
        _refuse_to_remove(options.out / "ml", [*channels.values(), *models])
        base = lay_out(options.out / "ml", hyperparameters, channels, resume=options.resume)
        command = _docker_command(docker, options.image, base, channels, models) if docker else _process_command()
    except (JobSetupError, OSError) as error:
        print(f"local_job: {error}", file=sys.stderr)
        return 2
    code = _run(command, base)
    _settle(base, code)
    return _report(options.out, base, code)


def parse_hyperparameters(pairs: Sequence[str]) -> dict[str, str]:
    """`["epochs=3", ...]` -> {"epochs": "3"}: text, as in SageMaker's hyperparameters.json (T3).

    Raises JobSetupError naming the pair that is malformed, given twice or longer than SageMaker takes.
    """
    values = parse_pairs("--hp", pairs, "epochs=3")
    for name, value in values.items():
        if len(name) > MAX_NAME or len(value) > MAX_VALUE:
            raise JobSetupError(
                f"--hp {name[:40]}: longer than SageMaker takes ({MAX_NAME} characters a name, {MAX_VALUE} a value)"
            )
    if len(values) > MAX_HYPERPARAMETERS:
        raise JobSetupError(f"{len(values)} hyperparameters; SageMaker takes {MAX_HYPERPARAMETERS} at most")
    return values


def parse_pairs(option: str, pairs: Sequence[str], example: str) -> dict[str, str]:
    """`["name=value", ...]` -> {"name": "value"}. Raises JobSetupError naming what is malformed or given twice."""
    values: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name.strip():
            raise JobSetupError(f"{option} {pair!r}: expected name=value, for example {option} {example}")
        if name in values:
            raise JobSetupError(f"{option} {name}: given twice ({values[name]!r} and {value!r})")
        values[name] = value
    return values


def find_models(hyperparameters: dict[str, str]) -> tuple[dict[str, str], list[Path]]:
    """The hyperparameters with whole paths for the models that they name from here, and these models.

    The training script runs in a folder of its own, from which a relative path leads elsewhere.
    """
    named = {name: hyperparameters[name] for name in MODELS if hyperparameters.get(name, SHIPPED) != SHIPPED}
    found = {name: Path(value).resolve() for name, value in named.items() if Path(value).exists()}
    return {**hyperparameters, **{name: str(path) for name, path in found.items()}}, list(found.values())


def lay_out(base: Path, hyperparameters: dict[str, str], channels: dict[str, Path], resume: bool = False) -> Path:
    """Make a job folder like /opt/ml at `base`; what an earlier job left is put aside, its checkpoints unless `resume`.

    Each channel becomes a link to its folder. Returns the absolute path. `_settle` removes what was put aside, or
    brings it back.
    Raises JobSetupError if it cannot be written, or if what would go is all that is left of a job that was stopped.
    """
    base = base.absolute()
    if resume and not _has_files(base / "checkpoints"):
        raise JobSetupError(f"there is nothing to go on from in {base / 'checkpoints'}; name that job's --out (OUT=)")
    if not resume and _has_files(base / "checkpoints") and not _has_files(base / "model"):
        raise JobSetupError(
            f"the job before was stopped, and {base / 'checkpoints'} is all that is left of it: go on from there with "
            "--resume (make: RESUME=1), choose another --out (OUT=), or remove that folder to begin anew"
        )
    try:
        _put_aside(base, [name for name in RESULTS if not (resume and name == "checkpoints")])
        for name in ("output", "input", "code"):
            _remove(base / name)
        for name in ("model", "output/data", "input/config", "input/data", "checkpoints"):
            (base / name).mkdir(parents=True, exist_ok=True)
        for name, folder in channels.items():
            (base / "input/data" / name).symlink_to(folder, target_is_directory=True)
        configs: dict[str, Any] = {
            **CONFIG_DEFAULTS,
            "hyperparameters.json": hyperparameters,
            "inputdataconfig.json": {name: {"TrainingInputMode": "File"} for name in channels},
        }
        for name, content in configs.items():
            (base / "input/config" / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise JobSetupError(f"cannot write the job folder {base}: {error.strerror}; choose another --out") from error
    return base


def _put_aside(base: Path, names: Sequence[str]) -> None:
    """Moves results out of the job folder; unless there are none, as of a job that was killed: those before it stay."""
    aside = _aside(base)
    if any(_has_files(base / name) for name in names):
        _remove(aside)
    for name in names:
        if _has_files(base / name) and not (aside / name).exists():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            (base / name).rename(aside / name)
        _remove(base / name)


def _settle(base: Path, code: int) -> None:
    """What the job before left goes once there is something new; a job that failed before that gives it back."""
    aside = _aside(base)
    kept = [name for name in RESULTS if (aside / name).exists()]
    if code != 0 and kept and not any(_has_files(base / name) for name in kept if name in LEARNED):
        for name in kept:
            if not _has_files(base / name):
                _remove(base / name)
                (aside / name).rename(base / name)
        print(f"local_job: {base} has again what the job before had left there", file=sys.stderr)
    _remove(aside)


def _aside(base: Path) -> Path:
    return base.with_name(f"{base.name}.before")


def pack_model(model: Path, archive: Path) -> None:
    """Pack the content of `model`, without an enclosing folder (T10).

    Written under another name first: neither an interrupted run nor a full disk leaves half an archive.
    """
    scratch = archive.with_name(archive.name + ".tmp")
    try:
        with tarfile.open(scratch, "w:gz") as tar:
            for path in sorted(model.rglob("*")):
                tar.add(path, arcname=str(path.relative_to(model)), recursive=False)
        scratch.replace(archive)
    finally:
        scratch.unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m container.local_job", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of the channel `train`; without it the embedded data set")
    parser.add_argument("--validation", type=Path, help="folder of the channel `validation`; else a part of the data")
    parser.add_argument("--hp", nargs="*", action="extend", default=[], metavar="NAME=VALUE", help="hyperparameters")
    parser.add_argument("--out", type=Path, default=Path("build/train-local"), help="folder for everything it leaves")
    parser.add_argument("--image", help="run in this image instead of as a plain process")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoints of the job before")
    return parser


def _channels(options: argparse.Namespace) -> dict[str, Path]:
    given = {"train": options.data, "validation": options.validation}
    return {name: path for name, path in given.items() if path is not None}


def _data_folder(name: str, path: Path) -> Path:
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise JobSetupError(f"data for channel {name!r}: {path} {what}; give the folder that holds gt.txt or a .jsonl")
    if not any(path.iterdir()):
        raise JobSetupError(f"data for channel {name!r}: {path} is empty")
    return path.resolve()


def _refuse_to_remove(base: Path, used: Sequence[Path]) -> None:
    """The model that was trained before, or what lies beside it, is gone once the folder is laid out anew."""
    for path in used:
        if path.is_relative_to(base.resolve()):
            raise JobSetupError(
                f"{path} is in the job folder {base}, which this job empties before it begins: give a copy of it, or "
                "choose another --out (make: OUT=)"
            )


def _process_command() -> list[str]:
    if sys.platform != "linux":
        raise JobSetupError(
            "without a container engine jobs run on Linux alone: start Docker, `make build`, then again"
        )
    return [sys.executable, "-m", "container.train"]


def _engine_with(image: str) -> list[str]:
    """The command `docker`, once it is there and has the image."""
    docker = shlex.split(os.environ.get("DOCKER", "docker"))
    if shutil.which(docker[0]) is None:
        raise JobSetupError(f"no container engine: {docker[0]!r} is not on PATH. Leave --image out to run without one.")
    found = subprocess.run([*docker, "image", "inspect", image], capture_output=True, text=True)
    if found.returncode != 0:
        last = (found.stderr.strip().splitlines() or ["no message"])[-1]
        raise JobSetupError(f"image {image!r}: {last}. Build it with `make build`; is the engine running?")
    return docker


def _docker_command(
    docker: list[str], image: str, base: Path, channels: dict[str, Path], models: list[Path]
) -> list[str]:
    """`docker run` with the job folder at /opt/ml, no network (T18), as the user who calls (who owns the results)."""
    command = [*docker, "run", "--rm", "--network", "none", "--user", f"{os.getuid()}:{os.getgid()}"]
    command += ["--shm-size", "1g"]  # the engine's 64 MiB are too little for data loader workers
    command += shlex.split(os.environ.get("DOCKER_RUN_FLAGS", ""))  # e.g. --gpus all; they have the last word
    command += ["--volume", f"{base}:{DEFAULT_BASE_DIR}"]
    for name, folder in channels.items():
        link = base / "input/data" / name  # the link leads nowhere inside the container: mount over a folder
        link.unlink()
        link.mkdir()
        command += ["--volume", f"{folder}:{DEFAULT_BASE_DIR}/input/data/{name}:ro"]
    for model in models:
        command += ["--volume", f"{model}:{model}:ro"]
    return [*command, "--env", f"TRAINING_JOB_NAME={_job_name()}", image, "train"]


def _run(command: list[str], base: Path) -> int:
    """Run the job to its end. Ctrl-C is left to `train`, which lets the script save a checkpoint first."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("SM_", "SAGEMAKER_"))}
    environment |= {BASE_DIR_VARIABLE: str(base), "TRAINING_JOB_NAME": _job_name()}
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        signal.signal(signal.SIGINT, lambda *_: None)  # the terminal sends it to the child as well
        signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
        code = process.wait()
    return code if code >= 0 else 128 - code


def _report(out: Path, base: Path, code: int) -> int:
    verdict = base / "output/failure"
    if code != 0:
        where = f"; why: {verdict}" if verdict.exists() else ""
        print(f"local_job: the job failed with exit code {code}{where}", file=sys.stderr)
        return code
    if any((base / "model").iterdir()):
        archive = out / "model.tar.gz"
        try:
            pack_model(base / "model", archive)
        except OSError as error:
            print(f"local_job: {archive} can't be written ({error}); the model is in {base / 'model'}", file=sys.stderr)
            return 1
        print(f"model:  {archive} ({archive.stat().st_size / 1e6:.1f} MB)")
    else:
        print("model:  none was written (the job was stopped? --resume, make's RESUME=1, goes on from its checkpoints)")
    for report in sorted((base / "output/data").rglob("*.html")):
        print(f"report: {report}")
    return 0


def _job_name() -> str:
    return time.strftime("local-%Y-%m-%d-%H-%M-%S")


def _has_files(folder: Path) -> bool:
    return any(path.is_file() for path in folder.rglob("*"))


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)  # links inside are removed, not followed


if __name__ == "__main__":
    sys.exit(main())
