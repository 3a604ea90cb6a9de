"""The built images, looked at without a job: size, labels, entry, packages, users, network."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.containers import AS_IN_THE_CLOUD, OFFLINE, ORDINARY_USER, docker, run, run_python

pytestmark = pytest.mark.container

SERVE_LIMIT = 600_000_000  # bytes
USERS = pytest.mark.parametrize("user", [[], ORDINARY_USER], ids=["root", "ordinary user"])


@pytest.fixture(params=["train_image", "serve_image"])
def image(request):
    return request.getfixturevalue(request.param)


def config(image):
    return json.loads(docker("image", "inspect", image).out)[0]


def test_serving_image_size(serve_image):
    assert config(serve_image)["Size"] <= SERVE_LIMIT


def test_S11_label_multi_models(serve_image):
    labels = config(serve_image)["Config"]["Labels"]
    assert labels["com.amazonaws.sagemaker.capabilities.multi-models"] == "true"


def test_S1_label_accept_bind_to_port(serve_image):
    labels = config(serve_image)["Config"]["Labels"]
    assert labels["com.amazonaws.sagemaker.capabilities.accept-bind-to-port"] == "true"


def test_T1_S1_no_shell_between_the_engine_and_the_program(image):
    """Exec form: `IMAGE train` starts `train` itself, as process 1, which then gets the signals."""
    settings = config(image)["Config"]
    assert not settings["Entrypoint"]
    assert settings["Cmd"] in (["train"], ["serve"])


def test_T2_nothing_lives_in_opt_ml(image):
    assert run(image, "ls", "/opt/ml").code != 0


@pytest.mark.parametrize("name", ["train", "serve"])
def test_T1_S1_program_is_first_on_PATH(name, request):
    """The toolkit brings a `train` of its own, which loses signals (T11)."""
    image = request.getfixturevalue(f"{name}_image")
    found = run(image, "bash", "-c", f"command -v {name} && head -1 $(command -v {name})")
    assert found.out == f"/opt/program/bin/{name}\n#!/usr/bin/env python3\n", found


def test_T17_what_ModelTrainer_calls_is_there(train_image):
    script = "for name in bash chmod cat python3 pip; do command -v $name || exit 1; done; python3 -m pip --version"
    done = run(train_image, "-c", script, options=["--entrypoint", "/bin/bash", *OFFLINE])
    assert done.code == 0, done
    assert "/opt/venv/bin/python3" in done.out


@USERS
def test_T8_T18_L9_installing_the_requirements_is_a_no_op_without_network(train_image, user):
    command = ["python3", "-m", "pip", "install", "-r", "/opt/program/code/requirements.txt"]
    done = run(train_image, *command, options=[*AS_IN_THE_CLOUD, *user], timeout=60)
    assert done.code == 0, done
    assert done.out.count("Requirement already satisfied") > 20, done.out
    assert not re.search("Collecting|Downloading|Installing|Retrying", done.out + done.err), done


@USERS
def test_layers_can_be_compiled(train_image, user):
    """`compile=true`: the image has a compiler, and a place for what it makes."""
    code = "import torch; f = torch.compile(torch.nn.Linear(3, 2)); print(tuple(f(torch.ones(4, 3)).shape))"
    done = run_python(train_image, code, options=[*OFFLINE, *user])
    assert (done.code, done.out.strip()) == (0, "(4, 2)"), done


def test_L9_pip_check(train_image):
    done = run(train_image, "python3", "-m", "pip", "check", options=OFFLINE)
    assert (done.code, done.out.strip()) == (0, "No broken requirements found."), done


@pytest.mark.parametrize(
    "module", ["torch", "albumentations", "scipy", "recognizer", "sagemaker_training", "boto3", "pip"]
)
def test_serving_image_has_nothing_of_the_training_side(serve_image, module):
    source = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is not None)"
    assert run_python(serve_image, source).code == 0


@pytest.mark.parametrize("name", ["train", "serve"])
def test_no_sagemaker_sdk_in_the_images(name, request):
    """Design rule 7."""
    image = request.getfixturevalue(f"{name}_image")
    done = run_python(image, "import importlib.util, sys; sys.exit(importlib.util.find_spec('sagemaker') is not None)")
    assert done.code == 0, done


def test_T18_libraries_that_phone_home_are_told_not_to(image):
    environment = dict(entry.split("=", 1) for entry in config(image)["Config"]["Env"])
    assert environment["ORT_DISABLE_TELEMETRY"] == "1"
    if "train" in image:
        assert environment["NO_ALBUMENTATIONS_UPDATE"] == "1"


def test_locked_versions_are_installed(image):
    """Every line of the image's own locks, against the packages that are there."""
    source = """
import importlib.metadata, pathlib, re, sys
names = sys.argv[1:]
wrong = []
for name in names:
    text = pathlib.Path("/opt/program/locks", name).read_text()
    for package, version in re.findall(r"^([\\w.\\-]+)==([^\\s;]+)", text, re.MULTILINE):
        if package in ("torch", "pip"):
            continue
        try:
            found = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found = None
        if found != version:
            wrong.append((package, version, found))
print(wrong)
"""
    lock = "train.txt" if "train" in image else "serve.txt"
    done = run(image, "python3", "-c", source, lock)
    assert done.out.strip() == "[]", done


@USERS
def test_L9_doctor(image, user):
    done = run(image, "python3", "-m", "container.doctor", options=[*AS_IN_THE_CLOUD, *user])
    assert done.code == 0, done


@USERS
def test_S5_everything_imports_offline_for_any_user(train_image, user):
    modules = "torch, cv2, albumentations, onnx, onnxscript, onnxruntime, matplotlib.pyplot, sagemaker_training.trainer"
    done = run_python(train_image, f"import {modules}", options=[*AS_IN_THE_CLOUD, "--tmpfs", "/opt/ml", *user])
    assert done.code == 0, done
