"""launch/ without the SDKs: addresses, options, metric definitions; what each refuses."""

import argparse
import io
import re
import sys
import tarfile
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from launch import invoke, model_trainer
from launch import job as jobs
from launch.job import Job, LaunchError
from launch.metrics import OBJECTIVE, metric_definitions

LINES = (
    "epoch 3/10, batch 4/50: train:loss=0.4120; train:learning_rate=0.000400; train:images_per_second=61.2; "
    "train:data_wait=0.01; step=1200; left=3 min;\n"
    "epoch 3/10 validated: validation:loss=inf; validation:samples=20; validation:exprate=0.731000; "
    "validation:within_1=0.8; validation:within_2=0.9; validation:wer=0.081; validation:bleu=0.9; "
    "validation:competition_wer=8.1e-02; "
    "validation:competition_score=0.75; epoch=3;\n"
    "exported:samples=20; exported:exprate=0.74; exported:wer=0.08; exported_int8:exprate=0.73;\n"
)


def test_each_definition_finds_its_own_number_and_no_others():
    found = {each["Name"]: re.findall(each["Regex"], LINES) for each in metric_definitions()}
    assert all(len(values) == 1 for values in found.values()), found
    assert float(found["train:loss"][0]) == 0.412
    assert found["validation:loss"] == ["inf"]
    assert float(found["validation:wer"][0]) == 0.081
    assert float(found["validation:competition_wer"][0]) == 0.081


def test_T13_within_sagemakers_limits():
    assert len(metric_definitions()) <= 40
    assert all(len(each["Regex"]) <= 500 for each in metric_definitions())
    assert OBJECTIVE in {each["Name"] for each in metric_definitions()}


def test_job_on_aws_needs_a_role_and_s3_addresses(tmp_path):
    with pytest.raises(LaunchError, match="--role"):
        Job(image="i", instance_type="ml.g5.xlarge")
    role = "arn:aws:iam::000000000000:role/mine"
    with pytest.raises(LaunchError, match=r"'train'.*s3://"):
        Job(image="i", instance_type="ml.g5.xlarge", role=role, data=str(tmp_path))
    assert Job(image="i", instance_type="ml.g5.xlarge", role=role, data="s3://b/t").channels == {"train": "s3://b/t"}


def test_an_endpoint_on_aws_needs_a_role_and_a_model_there():
    role = "arn:aws:iam::000000000000:role/mine"
    with pytest.raises(LaunchError, match="--role"):
        jobs.check_place("ml.c6i.large", jobs.LOCAL_ROLE, model="s3://bucket/model.tar.gz")
    with pytest.raises(LaunchError, match=r"--model.*s3://.*'model.tar.gz'"):
        jobs.check_place("ml.c6i.large", role, model="model.tar.gz")
    jobs.check_place("ml.c6i.large", role, model="s3://bucket/model.tar.gz")
    jobs.check_place("local", jobs.LOCAL_ROLE, model="model.tar.gz")


def test_the_role_is_taken_from_the_environment(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_ROLE", "arn:aws:iam::000000000000:role/mine")
    jobs.add_role(parser := argparse.ArgumentParser())
    assert parser.parse_args([]).role.endswith("role/mine")
    monkeypatch.setenv("SAGEMAKER_ROLE", "")
    jobs.add_role(parser := argparse.ArgumentParser())
    assert parser.parse_args([]).role == jobs.LOCAL_ROLE


def test_local_job_takes_a_folder_and_names_a_missing_one(tmp_path):
    assert Job(image="i", data=str(tmp_path)).channels == {"train": str(tmp_path)}
    with pytest.raises(LaunchError, match="nowhere"):
        Job(image="i", data=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(("count", "torchrun", "distributed"), [(1, False, False), (1, True, True), (2, False, True)])
def test_T16_torchrun_when_asked_for_and_with_several_hosts(count, torchrun, distributed):
    job = Job(image="i", instance_type="ml.g5.12xlarge", instance_count=count, role="arn:mine", torchrun=torchrun)
    assert job.is_distributed is distributed


def options(*words):
    jobs.add_arguments(parser := argparse.ArgumentParser())
    return parser.parse_args(["--image", "i", *words])


@pytest.mark.parametrize(("pairs", "named"), [(["epochs"], "'epochs'"), (["a=1", "a=2"], "twice")])
def test_a_hyperparameter_that_cant_be_meant_is_named(pairs, named):
    with pytest.raises(LaunchError, match=named):
        jobs.job_from(options("--hp", *pairs))
    assert jobs.job_from(options("--hp", "note=a=b")).hyperparameters == (("note", "a=b"),)


ON_AWS = ("--instance-type", "ml.g5.xlarge", "--role", "arn:aws:iam::000000000000:role/mine")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((*ON_AWS, "--spot"), "--checkpoints is missing"),
        ((*ON_AWS, "--spot", "--checkpoints", "build/c"), "--checkpoints.*s3://.*'build/c'"),
        ((*ON_AWS, "--output", "build/out"), "--output.*s3://.*'build/out'"),
        (("--checkpoints", "s3://bucket/c"), "local"),
        (("--tensorboard", "s3://bucket/b"), "--hp tensorboard=true"),
        ((*ON_AWS, "--tensorboard", "build/b"), "--tensorboard.*s3://.*'build/b'"),
        (("--instance-count", "0"), "--instance-count"),
    ],
)
def test_what_cant_be_had_there_is_refused_by_its_option(words, named):
    with pytest.raises(LaunchError, match=named):
        jobs.job_from(options(*words))


def test_T11_T12_a_spot_job_waits_for_instances_and_goes_on_from_its_checkpoints():
    job = jobs.job_from(options(*ON_AWS, "--spot", "--checkpoints", "s3://bucket/c", "--max-hours", "2"))
    assert (job.checkpoints, job.max_seconds) == ("s3://bucket/c", 7200)
    assert job.max_wait_seconds == 7200 + 24 * 3600
    on_demand = jobs.job_from(options(*ON_AWS))
    assert on_demand.max_wait_seconds is None  # AWS refuses it for other jobs
    assert on_demand.max_seconds == 24 * 3600  # SDK v3 would end it after an hour


@pytest.fixture
def sdk_v3(monkeypatch):
    """A stand-in for the SDK's modules: what each class was asked for is in its `call_args_list`."""
    modules = {name: MagicMock() for name in ("core.shapes", "train", "train.configs", "train.distributed")}
    modules["train.model_trainer"] = MagicMock()
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, f"sagemaker.{name}", module)
    monkeypatch.setitem(sys.modules, "sagemaker", MagicMock())
    return modules


def test_T6_sdk_v3_channels_have_the_jobs_input_mode(sdk_v3):
    """Of its own accord the SDK makes every channel one of File mode: all data was copied before training began."""
    job = jobs.job_from(options(*ON_AWS, "--data", "s3://b/t", "--model", "s3://b/m", "--input-mode", "FastFile"))
    model_trainer.train(job)
    modes = {
        call.kwargs["channel_name"]: call.kwargs["input_mode"] for call in sdk_v3["core.shapes"].Channel.call_args_list
    }
    assert modes == {"train": "FastFile", "model": "File"}


def test_sdk_v3_jobs_may_run_for_as_long_as_they_are_told_to(sdk_v3):
    model_trainer.train(jobs.job_from(options(*ON_AWS)))
    [condition] = sdk_v3["core.shapes"].StoppingCondition.call_args_list
    assert condition.kwargs == {"max_runtime_in_seconds": 24 * 3600}


def test_T10_sdk_v3_copies_curves_away_and_the_job_writes_them(sdk_v3):
    model_trainer.train(jobs.job_from(options(*ON_AWS, "--tensorboard", "s3://b/curves")))
    [curves] = sdk_v3["core.shapes"].TensorBoardOutputConfig.call_args_list
    assert curves.kwargs == {"s3_output_path": "s3://b/curves", "local_path": "/opt/ml/output/tensorboard"}
    trainer = sdk_v3["train"].ModelTrainer
    assert trainer.call_args.kwargs["hyperparameters"]["tensorboard"] == "true"
    assert trainer.return_value.with_tensorboard_output_config.called


def test_settings_of_a_server_are_pairs():
    assert jobs.parse_variables(["SERVE_PRECISION=int8", "A="]) == {"SERVE_PRECISION": "int8", "A": ""}
    for bad in ("SERVE_PRECISION", "=int8"):
        with pytest.raises(LaunchError, match=bad):
            jobs.parse_variables([bad])


def test_a_model_or_input_that_isnt_there_is_named(tmp_path):
    jobs.check_here(model=str(tmp_path), input="s3://bucket/in")
    with pytest.raises(LaunchError, match=r"--input.*nowhere"):
        jobs.check_here(model=str(tmp_path), input=str(tmp_path / "nowhere"))


def test_an_error_of_the_sdk_is_one_line_and_an_interruption_no_failure(capsys):
    """Without credentials or Docker, and after a failed job, a hundred lines of traceback hid the reason."""

    def fail():
        raise ImportError("Docker Compose is not installed")

    def interrupt():
        raise KeyboardInterrupt

    assert jobs.exit_code(fail) == 1
    assert capsys.readouterr().err == "launch: ImportError: Docker Compose is not installed\n"
    assert jobs.exit_code(interrupt) == 130
    assert "goes on" in capsys.readouterr().err


def test_a_model_of_this_machine_is_served_from_a_folder_of_its_own(tmp_path):
    """SDK v2 unpacks an archive where it lies: beside this repository's code/, over its inference.py."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code/inference.py").write_text("mine, edited")
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, text in (("model.json", b"{}"), ("code/inference.py", b"the model's")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    for place in (str(archive), f"file://{archive}"):
        folder = Path(jobs.as_served(place).removeprefix("file://"))
        assert (folder / "code/inference.py").read_text() == "the model's"
        assert folder.stat().st_mode & 0o005 == 0o005  # the container's user may look into it
    assert (tmp_path / "code/inference.py").read_text() == "mine, edited"
    assert jobs.as_served("s3://bucket/model.tar.gz") == "s3://bucket/model.tar.gz"
    archive.write_bytes(b"no archive")
    with pytest.raises(LaunchError, match=r"model\.tar\.gz"):
        jobs.as_served(str(archive))


def test_a_job_on_aws_is_told_what_it_could_lose(capsys):
    role = ("--role", "arn:aws:iam::000000000000:role/mine", "--instance-type", "ml.g5.xlarge")
    jobs.job_from(options(*role))
    assert "without --checkpoints" in capsys.readouterr().err
    jobs.job_from(options(*role, "--checkpoints", "s3://bucket/c"))
    assert not capsys.readouterr().err


def test_ranges_are_pairs():
    assert jobs.parse_ranges(["learning_rate=0.0003:0.003", "width=128,192"]) == {
        "learning_rate": "0.0003:0.003",
        "width": "128,192",
    }
    with pytest.raises(LaunchError, match="--range"):
        jobs.parse_ranges(["learning_rate"])


def test_addresses(tmp_path):
    assert jobs.as_address("s3://bucket/key") == jobs.as_path("s3://bucket/key") == "s3://bucket/key"
    assert jobs.as_path(str(tmp_path / "a" / ".." / "b")) == str(tmp_path / "b")
    assert jobs.as_address(str(tmp_path)) == f"file://{tmp_path}"
    assert jobs.as_address(str(tmp_path / "my data, größer")) == f"file://{tmp_path}/my data, größer"


@pytest.mark.parametrize("option", ["--host=a b", "--host=ü..x", "--accept=€", "--accept=text/plain\n\n"])
def test_invoke_names_what_it_cant_ask_in_a_line(option, tmp_path, capsys):
    (tmp_path / "formula.png").touch()
    assert invoke.main([option, "--port=1", str(tmp_path / "formula.png")]) == 1
    assert capsys.readouterr().err.startswith("invoke: no answer from http://")
