"""What a user of SDK v2 does in local mode, run by the SDK's own Python: fit with source_dir, deploy, predict.

    python sdk_v2_story.py DATA OUT TRAIN_IMAGE SERVE_IMAGE PORT PICTURE [NAME=VALUE ...]

Prints one JSON object as its last line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from launch.estimator import deploy, fit, make_model, make_session
from launch.job import LOCAL_ROLE, Job


def main() -> None:
    data, out, train_image, serve_image, port, picture, *pairs = sys.argv[1:]
    session = make_session(local=True, serving_port=int(port))
    hyperparameters = tuple(tuple(pair.split("=", 1)) for pair in pairs)
    job = Job(image=train_image, data=data, output=out, hyperparameters=hyperparameters)  # type: ignore[arg-type]
    estimator = fit(job, session)
    predictor = deploy(make_model(serve_image, estimator.model_data, LOCAL_ROLE, session), "local")
    try:
        answer = predictor.predict(Path(picture).read_bytes())
    finally:
        predictor.delete_endpoint()
    print(json.dumps({"model": estimator.model_data, "answer": answer}), flush=True)


if __name__ == "__main__":
    main()
