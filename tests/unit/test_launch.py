"""launch/ without the SDKs: addresses, options, metric definitions; what each refuses."""

import argparse
import re

import pytest

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


def test_local_job_takes_a_folder_and_names_a_missing_one(tmp_path):
    assert Job(image="i", data=str(tmp_path)).channels == {"train": str(tmp_path)}
    with pytest.raises(LaunchError, match="nowhere"):
        Job(image="i", data=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(("count", "torchrun", "distributed"), [(1, False, False), (1, True, True), (2, False, True)])
def test_T16_torchrun_when_asked_for_and_with_several_hosts(count, torchrun, distributed):
    job = Job(image="i", instance_type="ml.g5.12xlarge", instance_count=count, role="arn:mine", torchrun=torchrun)
    assert job.is_distributed is distributed


def test_malformed_hyperparameter_is_named():
    with pytest.raises(LaunchError, match="'epochs'"):
        jobs._pair("epochs")
    assert jobs._pair("note=a=b") == ("note", "a=b")


def test_addresses(tmp_path):
    assert jobs.as_address("s3://bucket/key") == jobs.as_path("s3://bucket/key") == "s3://bucket/key"
    assert jobs.as_path(str(tmp_path / "a" / ".." / "b")) == str(tmp_path / "b")
    assert jobs.as_address(str(tmp_path)) == f"file://{tmp_path}"
    assert jobs.as_address(str(tmp_path / "my data, größer")) == f"file://{tmp_path}/my data, größer"
