"""SageMaker SDK v2: train with Estimator.fit, deploy to an endpoint, transform in batch.

    python -m launch.estimator fit --image IMAGE --role ROLE --instance-type ml.g5.xlarge --data s3://bucket/train
    python -m launch.estimator deploy --image SERVE_IMAGE --role ROLE --model s3://.../model.tar.gz --endpoint formulas
    python -m launch.estimator transform --image SERVE_IMAGE --role ROLE --model ... --input s3://... --output s3://...

`--instance-type local` (the default) does the same with Docker on this machine; nothing of AWS is called. Needs
`sagemaker>=2.257,<3` (docker/locks/launch-sdk2.txt). VPC, encryption keys and tags of jobs on AWS are taken from the
SDK's own configuration file, ~/.config/sagemaker/config.yaml.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from launch import job as jobs
from launch.job import CODE, ENTRY_POINT, Job
from launch.metrics import metric_definitions


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
    from sagemaker.estimator import Estimator

    code = {"entry_point": ENTRY_POINT, "source_dir": source_dir} if source_dir else {}
    hyperparameters = dict(job.hyperparameters)
    if job.is_distributed:  # T16; what `distribution=` of the PyTorch estimator does, which this one does not know
        hyperparameters["sagemaker_torch_distributed_enabled"] = "true"
    return Estimator(
        image_uri=job.image,
        role=job.role,
        instance_count=job.instance_count,
        instance_type=job.instance_type,
        input_mode=job.input_mode,
        max_run=job.max_seconds,
        use_spot_instances=job.spot,
        max_wait=job.max_wait_seconds,
        checkpoint_s3_uri=job.checkpoints,
        output_path=jobs.as_address(job.output) if job.output else None,
        hyperparameters=hyperparameters,
        metric_definitions=metric_definitions(),
        sagemaker_session=session,
        **code,
    )


def fit(job: Job, session: Any, wait: bool = True, source_dir: str | None = str(CODE)) -> Any:
    """Run the training job; returns its Estimator, whose `model_data` is the address of model.tar.gz."""
    estimator = make_estimator(job, session, source_dir)
    channels = {name: _channel(job, name, place) for name, place in job.channels.items()}
    estimator.fit(channels or None, wait=wait)
    return estimator


def _channel(job: Job, name: str, place: str) -> Any:
    from sagemaker.inputs import TrainingInput

    if job.is_local:
        return jobs.as_address(place)
    return TrainingInput(place, input_mode=job.input_mode_of(name))


def make_model(image: str, model_data: str, role: str, session: Any, env: dict[str, str] | None = None) -> Any:
    """A Model of the serving image and a model.tar.gz (an s3:// or file:// address); `env`: the server's settings."""
    from sagemaker.model import Model
    from sagemaker.predictor import Predictor

    options = {"predictor_cls": Predictor, "sagemaker_session": session, "env": env}
    return Model(image_uri=image, model_data=model_data, role=role, **options)


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


def transform(model: Any, instance_type: str, source: str, output: str) -> None:
    """Batch transform of JSON Lines (`{"image": base64}` a line) at `source`; the answers go to `output` (S9).

    `source`: an s3:// address, or a folder in local mode. Answers end with a line break of their own, so they are
    put together as they are (`assemble_with="Line"` would leave an empty line after each batch).
    """
    transformer = model.transformer(
        instance_count=1,
        instance_type=instance_type,
        strategy="MultiRecord",
        output_path=jobs.as_address(output),
        accept="application/jsonlines",
    )
    transformer.transform(
        jobs.as_address(source),
        content_type="application/jsonlines",
        split_type="Line",
        wait=not jobs.runs_here(instance_type),  # a local one is done when the call returns
    )


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    action = {"fit": _fit, "deploy": _deploy, "transform": _transform}[options.action]
    return jobs.exit_code(lambda: action(options))


def _fit(options: argparse.Namespace) -> None:
    job = jobs.job_from(options)
    source_dir = None if options.baked_code else str(CODE)
    estimator = fit(job, make_session(job.is_local), wait=not options.no_wait, source_dir=source_dir)
    print(f"job: {estimator.latest_training_job.name}")
    if not options.no_wait:
        print(f"model: {estimator.model_data}")


def _deploy(options: argparse.Namespace) -> None:
    model = _checked_model(options, model=options.model)
    predictor = deploy(model, options.instance_type, options.endpoint)
    print(f"endpoint: {predictor.endpoint_name}")
    if jobs.runs_here(options.instance_type):  # the SDK's thread that runs the container keeps this process alive
        print("It answers at http://127.0.0.1:8080/invocations until Ctrl-C.")


def _transform(options: argparse.Namespace) -> None:
    model = _checked_model(options, model=options.model, input=options.input, output=options.output)
    transform(model, options.instance_type, options.input, options.output)
    print(f"answers: {options.output}")


def _checked_model(options: argparse.Namespace, **addresses: str) -> Any:
    """The Model that `options` name; LaunchError if one of the addresses can't be used where it is to run."""
    jobs.check_place(options.instance_type, options.role, **addresses)
    jobs.check_here(**{name: place for name, place in addresses.items() if name != "output"})
    variables = jobs.parse_variables(options.env)
    session = make_session(jobs.runs_here(options.instance_type))
    return make_model(options.image, jobs.as_address(options.model), options.role, session, variables)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m launch.estimator", description=(__doc__ or "").split("\n")[0])
    actions = parser.add_subparsers(dest="action", required=True)
    fitting = actions.add_parser("fit", help="train")
    jobs.add_arguments(fitting)
    fitting.add_argument("--baked-code", action="store_true", help="run the code in the image, not this repository's")
    fitting.add_argument("--no-wait", action="store_true", help="return once the job has started")
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
            action.add_argument("--input", required=True, help="JSON Lines")
            action.add_argument("--output", required=True, help="folder or s3:// address for the answers")
    return parser


if __name__ == "__main__":
    sys.exit(main())
