"""The job folder: /opt/ml in a container, anything else through SAGEMAKER_BASE_DIR (design rule 8).

SageMaker mounts over /opt/ml, so nothing needed at run time may live there (T2); the code in the image stands in
/opt/program. A job without channels has no inputdataconfig.json, and `docker run IMAGE train` has no
configuration at all: the missing files are filled in with what they would say, so that the embedded data set
trains with nothing mounted.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

BASE_DIR_VARIABLE = "SAGEMAKER_BASE_DIR"
DEFAULT_BASE_DIR = "/opt/ml"
CONFIG_DEFAULTS: dict[str, dict[str, Any]] = {
    "hyperparameters.json": {},
    "inputdataconfig.json": {},
    "resourceconfig.json": {
        "current_host": "localhost",
        "hosts": ["localhost"],
        "network_interface_name": "lo",
        "current_instance_type": "local",
        "current_group_name": "homogeneousCluster",
        "instance_groups": [
            {"instance_group_name": "homogeneousCluster", "instance_type": "local", "hosts": ["localhost"]}
        ],
    },
}


class JobError(Exception):
    """The job folder cannot be used as it is; the message says what to do."""


def base_dir() -> Path:
    """Where the job folder stands. Absolute, as the script runs in a folder of its own; an empty name is none."""
    return Path(os.environ.get(BASE_DIR_VARIABLE, "").strip() or DEFAULT_BASE_DIR).absolute()


def config_dir(base: Path) -> Path:
    return base / "input" / "config"


def failure_file(base: Path) -> Path:
    return base / "output" / "failure"


def prepare(base: Path) -> None:
    """Make the folder fit for the toolkit: its directories, its configuration, no verdict of an earlier job (T15).

    Raises JobError when something cannot be written or a configuration file is no JSON object.
    """
    try:
        for folder in ("model", "output/data", "checkpoints", "input/data"):
            (base / folder).mkdir(parents=True, exist_ok=True)
        for verdict in ("failure", "success"):
            (base / "output" / verdict).unlink(missing_ok=True)
    except OSError as error:
        raise JobError(
            f"cannot write to the job folder {base}: {error.strerror}. "
            f"Mount a writable folder at {base}, or name another one in {BASE_DIR_VARIABLE}."
        ) from error
    for name, default in CONFIG_DEFAULTS.items():
        _check_or_fill_in(config_dir(base) / name, default)


def read_config(base: Path, name: str) -> dict[str, Any]:
    """One of the configuration files, e.g. `resourceconfig.json`.

    Raises JobError, with the line and column, if it is not a JSON object.
    """
    path = config_dir(base) / name
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise JobError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(content, dict):
        raise JobError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def _check_or_fill_in(path: Path, default: dict[str, Any]) -> None:
    if path.exists():
        read_config(path.parents[2], path.name)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(default, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise JobError(f"{path} is missing and cannot be written: {error.strerror}") from error
