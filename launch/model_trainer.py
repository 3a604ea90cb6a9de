"""SageMaker SDK v3: train with ModelTrainer.

    python -m launch.model_trainer --image IMAGE --role ROLE --instance-type ml.g5.xlarge --data s3://bucket/train

`--instance-type local` (the default) runs the same image with Docker on this machine; nothing of AWS is called. Needs
`sagemaker>=3` (docker/locks/launch-sdk3.txt).

With code of its own, a ModelTrainer job bypasses the image's `train` (T17): bash is process 1, SIGTERM does not reach
the script, and a stopped job goes on from its last periodic checkpoint. `--baked-code` runs `train`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launch import job as jobs
from launch.job import CODE, ENTRY_POINT, Job
from launch.metrics import metric_definitions


def make_trainer(job: Job, source_dir: str | None = str(CODE)) -> Any:
    """The ModelTrainer of a job. `source_dir=None` runs the code that is baked into the image, through `train`.

    In local mode the working files and artifacts/ (the model, unpacked) go into the folder `job.output`.
    """
    from sagemaker.core.shapes import (
        CheckpointConfig,
        MetricDefinition,
        OutputDataConfig,
        StoppingCondition,
        TensorBoardOutputConfig,
    )
    from sagemaker.train import ModelTrainer
    from sagemaker.train.configs import Compute, SourceCode
    from sagemaker.train.distributed import Torchrun
    from sagemaker.train.model_trainer import Mode

    hyperparameters: dict[str, Any] = {**job.given_hyperparameters}
    options: dict[str, Any] = {}
    if source_dir:
        options["source_code"] = SourceCode(source_dir=source_dir, entry_script=ENTRY_POINT)
        if job.is_distributed:
            options["distributed"] = Torchrun()
    elif job.is_distributed:
        hyperparameters["sagemaker_torch_distributed_enabled"] = "true"  # T16
    if job.is_local:
        folder = Path(job.output or "build/model-trainer").resolve()
        folder.mkdir(parents=True, exist_ok=True)
        options |= {"training_mode": Mode.LOCAL_CONTAINER, "local_container_root": str(folder)}
    else:
        options["role"] = job.role
        if job.output:
            options["output_data_config"] = OutputDataConfig(s3_output_path=job.output)
        if job.checkpoints:
            options["checkpoint_config"] = CheckpointConfig(s3_uri=job.checkpoints)
    limits = {"max_wait_time_in_seconds": job.max_wait_seconds} if job.spot else {}
    trainer = ModelTrainer(
        training_image=job.image,
        compute=Compute(
            instance_type=_instance_type(job),
            instance_count=job.instance_count,
            enable_managed_spot_training=job.spot or None,
            volume_size_in_gb=job.volume_gb,
        ),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=job.max_seconds, **limits),
        hyperparameters=hyperparameters,
        training_input_mode=job.input_mode,
        base_job_name="formula-recognizer",
        **options,
    )
    if job.tensorboard:
        curves = TensorBoardOutputConfig(s3_output_path=job.tensorboard, local_path=jobs.TENSORBOARD)
        trainer = trainer.with_tensorboard_output_config(curves)
    definitions = [MetricDefinition(name=each["Name"], regex=each["Regex"]) for each in metric_definitions()]
    return trainer.with_metric_definitions(definitions)


def train(job: Job, wait: bool = True, source_dir: str | None = str(CODE)) -> Any:
    """Run the training job; returns its ModelTrainer."""
    trainer = make_trainer(job, source_dir)
    channels = [_channel(job, name, place) for name, place in job.channels.items()]
    trainer.train(input_data_config=channels or None, wait=wait)
    return trainer


def _channel(job: Job, name: str, place: str) -> Any:
    """On AWS with its own input mode: of an `InputData` the SDK makes a channel in File mode, whatever the job's is."""
    from sagemaker.core.shapes import Channel, DataSource, S3DataSource
    from sagemaker.train.configs import InputData

    if job.is_local:
        return InputData(channel_name=name, data_source=jobs.as_path(place))
    source = S3DataSource(s3_data_type="S3Prefix", s3_uri=place, s3_data_distribution_type="FullyReplicated")
    mode = job.input_mode_of(name)
    return Channel(channel_name=name, data_source=DataSource(s3_data_source=source), input_mode=mode)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m launch.model_trainer", description=(__doc__ or "").split("\n")[0])
    jobs.add_arguments(parser)
    parser.add_argument("--baked-code", action="store_true", help="run `train` and the code in the image")
    parser.add_argument("--no-wait", action="store_true", help="return once the job has started")
    options = parser.parse_args(arguments)
    return jobs.exit_code(lambda: _train(options))


def _train(options: argparse.Namespace) -> None:
    job = jobs.job_from(options)
    if job.is_local:
        jobs.prepare_local_aws()
    train(job, wait=not options.no_wait, source_dir=None if options.baked_code else str(CODE))


def _instance_type(job: Job) -> str:
    """ModelTrainer asks for the type that AWS would have; in local mode it is only written into resourceconfig."""
    return "local_cpu" if job.instance_type == jobs.LOCAL else job.instance_type


if __name__ == "__main__":
    sys.exit(main())
