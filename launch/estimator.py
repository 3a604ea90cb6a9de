"""SageMaker SDK v2: train with Estimator.fit, search hyperparameters, deploy to an endpoint, transform in batch.

    python -m launch.estimator fit --image IMAGE --role ROLE --instance-type ml.g5.xlarge --data s3://bucket/train
    python -m launch.estimator tune --image IMAGE ... --range learning_rate=0.0003:0.003 width=128,192,256 --max-jobs 8
    python -m launch.estimator deploy --image SERVE_IMAGE --role ROLE --model s3://.../model.tar.gz --endpoint formulas
    python -m launch.estimator transform --image SERVE_IMAGE --role ROLE --model ... --input s3://... --output s3://...

`--instance-type local` (the default) does the same with Docker on this machine; nothing of AWS is called. Needs
`sagemaker>=2.257,<3` (docker/locks/launch-sdk2.txt). VPC, encryption keys and tags of jobs on AWS are taken from the
SDK's own configuration file, ~/.config/sagemaker/config.yaml.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from launch import job as jobs
from launch.job import CODE, ENTRY_POINT, Job, LaunchError
from launch.metrics import OBJECTIVE, metric_definitions

LINES = "application/jsonlines"
PATIENCE = {"InvocationsTimeoutInSeconds": 3600}  # for a body of many records; by default ten minutes


def make_session(local: bool, serving_port: int = 8080) -> Any:
    """A session of the SDK; in local mode one that mounts the code (`local_code`) and calls nothing of AWS."""
    if not local:
        from sagemaker.session import Session

        return Session()
    jobs.prepare_local_aws()
    from sagemaker.local import LocalSession

    session = LocalSession()
    session.config = {"local": {"local_code": True, "serving_port": serving_port}}
    return session


def make_estimator(job: Job, session: Any, source_dir: str | None = str(CODE)) -> Any:
    """The Estimator of a job. `source_dir=None` runs the code that is baked into the image."""
    from sagemaker.debugger import TensorBoardOutputConfig
    from sagemaker.estimator import Estimator

    code = {"entry_point": ENTRY_POINT, "source_dir": source_dir} if source_dir else {}
    curves = TensorBoardOutputConfig(job.tensorboard, jobs.TENSORBOARD) if job.tensorboard else None
    hyperparameters = job.given_hyperparameters
    if job.is_distributed:  # T16; what `distribution=` of the PyTorch estimator does, which this one does not know
        hyperparameters["sagemaker_torch_distributed_enabled"] = "true"
    return Estimator(
        image_uri=job.image,
        role=job.role,
        instance_count=job.instance_count,
        instance_type=job.instance_type,
        input_mode=job.input_mode,
        max_run=job.max_seconds,
        volume_size=job.volume_gb,
        use_spot_instances=job.spot,
        max_wait=job.max_wait_seconds,
        checkpoint_s3_uri=job.checkpoints,
        tensorboard_output_config=curves,
        output_path=jobs.as_address(job.output) if job.output else None,
        hyperparameters=hyperparameters,
        metric_definitions=metric_definitions(),
        sagemaker_session=session,
        **code,
    )


def fit(job: Job, session: Any, wait: bool = True, source_dir: str | None = str(CODE)) -> Any:
    """Run the training job; returns its Estimator, whose `model_data` is the address of model.tar.gz."""
    estimator = make_estimator(job, session, source_dir)
    estimator.fit(_channels(job), wait=wait)
    return estimator


def tune(
    job: Job,
    session: Any,
    ranges: Mapping[str, str],
    max_jobs: int,
    parallel: int,
    wait: bool = True,
    source_dir: str | None = str(CODE),
) -> Any:
    """Search for hyperparameters with which the exported model is right most often; returns the HyperparameterTuner.

    Args:
        ranges: by hyperparameter, `low:high` (searched on a logarithmic scale if both are above 0) or `a,b,c`.

    Raises:
        LaunchError: a range that is neither.
    """
    from sagemaker.tuner import HyperparameterTuner

    tuner = HyperparameterTuner(
        make_estimator(job, session, source_dir),
        objective_metric_name=OBJECTIVE,
        hyperparameter_ranges={name: _range(name, text) for name, text in ranges.items()},
        metric_definitions=metric_definitions(),
        max_jobs=max_jobs,
        max_parallel_jobs=parallel,
    )
    tuner.fit(_channels(job), wait=wait)
    return tuner


def _range(name: str, text: str) -> Any:
    from sagemaker.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter

    low, colon, high = text.partition(":")
    if not colon:
        return CategoricalParameter(text.split(","))
    try:
        is_whole = low.isdigit() and high.isdigit()
        bounds = (int(low), int(high)) if is_whole else (float(low), float(high))
    except ValueError:
        raise LaunchError(f"--range {name}={text}: expected LOW:HIGH, or values with commas between") from None
    scaling = "Logarithmic" if bounds[0] > 0 else "Linear"
    return (IntegerParameter if is_whole else ContinuousParameter)(*bounds, scaling_type=scaling)


def _channels(job: Job) -> dict[str, Any] | None:
    return {name: _channel(job, name, place) for name, place in job.channels.items()} or None


def _channel(job: Job, name: str, place: str) -> Any:
    from sagemaker.inputs import TrainingInput

    if job.is_local:
        return jobs.as_address(place)
    return TrainingInput(place, input_mode=job.input_mode_of(name))


def make_model(image: str, model_data: str, role: str, session: Any, env: dict[str, str] | None = None) -> Any:
    """A Model of the serving image and a model.tar.gz (an s3:// or file:// address); `env`: the server's settings.

    On AWS the server is told so by SAGEMAKER_REGION: the SDK itself says it to models with code of their own alone.
    """
    from sagemaker.model import Model
    from sagemaker.predictor import Predictor

    place = {} if session.local_mode else {"SAGEMAKER_REGION": session.boto_region_name}
    options = {"predictor_cls": Predictor, "sagemaker_session": session, "env": {**place, **(env or {})}}
    return Model(image_uri=image, model_data=jobs.as_served(model_data), role=role, **options)


def deploy(model: Any, instance_type: str, endpoint: str | None = None) -> Any:
    """An endpoint; returns its Predictor: `predict(bytes of a picture)` gives the answer as a dict.

    A local one answers when `deploy` returns; waiting for it would only poll, every 30 s.
    """
    from sagemaker.deserializers import JSONDeserializer
    from sagemaker.serializers import IdentitySerializer

    predictor = model.deploy(1, instance_type, endpoint_name=endpoint, wait=not jobs.runs_here(instance_type))
    predictor.serializer = IdentitySerializer("application/x-image")
    predictor.deserializer = JSONDeserializer()
    return predictor


def transform(model: Any, instance_type: str, source: str, output: str, pictures: bool = False) -> None:
    """Batch transform of JSON Lines (`{"image": base64}` a line) at `source`; the answers go to `output` (S9).

    Answers end with a line break of their own, so they are put together as they are (`assemble_with="Line"` would leave
    an empty line after each batch).

    Args:
        source: an s3:// address, or a folder in local mode.
        pictures: they are picture files, each a request; `NAME.png.out` has its answer.
    """
    is_here = jobs.runs_here(instance_type)
    content = {"content_type": "application/x-image"} if pictures else {"content_type": LINES, "split_type": "Line"}
    transformer = model.transformer(
        instance_count=1,
        instance_type=instance_type,
        strategy="SingleRecord" if pictures else "MultiRecord",
        output_path=jobs.as_address(output),
        accept=LINES,
    )
    transformer.transform(
        jobs.as_address(source),
        model_client_config=None if is_here else PATIENCE,
        wait=not is_here,  # a local one is done when the call returns
        **content,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    action = {"fit": _fit, "tune": _tune, "deploy": _deploy, "transform": _transform}[options.action]
    return jobs.exit_code(lambda: action(options))


def _fit(options: argparse.Namespace) -> None:
    job = jobs.job_from(options)
    source_dir = None if options.baked_code else str(CODE)
    estimator = fit(job, make_session(job.is_local), wait=not options.no_wait, source_dir=source_dir)
    print(f"job: {estimator.latest_training_job.name}")
    if not options.no_wait:
        print(f"model: {estimator.model_data}")


def _tune(options: argparse.Namespace) -> None:
    job = jobs.job_from(options)
    if job.is_local:
        raise LaunchError("--instance-type: expected a type of AWS, where the search runs")
    ranges = jobs.parse_ranges(options.range)
    source_dir = None if options.baked_code else str(CODE)
    wait = not options.no_wait
    tuner = tune(job, make_session(False), ranges, options.max_jobs, options.parallel, wait, source_dir)
    print(f"search: {tuner.latest_tuning_job.name}")
    if wait:
        print(f"best job: {tuner.best_training_job()}")


def _deploy(options: argparse.Namespace) -> None:
    model = _checked_model(options, model=options.model)
    predictor = deploy(model, options.instance_type, options.endpoint)
    print(f"endpoint: {predictor.endpoint_name}")
    if jobs.runs_here(options.instance_type):  # the SDK's thread that runs the container keeps this process alive
        print("It answers at http://127.0.0.1:8080/invocations until Ctrl-C.")
    else:
        print(f"It costs money until: aws sagemaker delete-endpoint --endpoint-name {predictor.endpoint_name}")


def _transform(options: argparse.Namespace) -> None:
    model = _checked_model(options, model=options.model, input=options.input, output=options.output)
    transform(model, options.instance_type, options.input, options.output, options.pictures)
    print(f"answers: {options.output}")


def _checked_model(options: argparse.Namespace, **addresses: str) -> Any:
    """The Model that `options` name; LaunchError if one of the addresses can't be used where it is to run."""
    jobs.check_place(options.instance_type, options.role, **addresses)
    jobs.check_here(**{name: place for name, place in addresses.items() if name != "output"})
    variables = jobs.parse_variables(options.env)
    if "SERVE_API_KEY" in variables and not jobs.runs_here(options.instance_type):
        raise LaunchError("--env SERVE_API_KEY: SageMaker's requests can't bring a key; IAM decides who may ask")
    session = make_session(jobs.runs_here(options.instance_type))
    return make_model(options.image, jobs.as_address(options.model), options.role, session, variables)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m launch.estimator", description=(__doc__ or "").split("\n")[0])
    actions = parser.add_subparsers(dest="action", required=True)
    for name, text in (("fit", "train"), ("tune", "search for hyperparameters")):
        training = actions.add_parser(name, help=text)
        jobs.add_arguments(training)
        training.add_argument("--baked-code", action="store_true", help="run the image's code, not this repository's")
        training.add_argument("--no-wait", action="store_true", help="return once it has started")
        if name == "tune":
            ranges = "LOW:HIGH, or values with commas between"
            training.add_argument(
                "--range", nargs="+", action="extend", required=True, metavar="NAME=RANGE", help=ranges
            )
            training.add_argument("--max-jobs", type=int, default=8, help="in all (default: %(default)s)")
            training.add_argument("--parallel", type=int, default=2, help="at a time (default: %(default)s)")
    for name, text in (("deploy", "start an endpoint"), ("transform", "answer a file of pictures")):
        action = actions.add_parser(name, help=text)
        action.add_argument("--image", required=True, help="serving image")
        action.add_argument("--model", required=True, help="model.tar.gz: an s3:// address, or a path in local mode")
        jobs.add_role(action)
        action.add_argument(
            "--env", nargs="*", action="extend", default=[], metavar="NAME=VALUE", help="settings: docs/serving.md"
        )
        action.add_argument("--instance-type", default=jobs.LOCAL)
        if name == "deploy":
            action.add_argument("--endpoint", help="its name; made up if left out")
        else:
            action.add_argument("--input", required=True, help="JSON Lines, as a prefix or folder")
            action.add_argument("--pictures", action="store_true", help="--input holds picture files instead")
            action.add_argument("--output", required=True, help="folder or s3:// address for the answers")
    return parser


if __name__ == "__main__":
    sys.exit(main())
