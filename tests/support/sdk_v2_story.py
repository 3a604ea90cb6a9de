"""What a user of SDK v2 does in local mode, run by the SDK's own Python: fit with source_dir, deploy, predict,
batch transform.

    python sdk_v2_story.py OUT TRAIN_IMAGE SERVE_IMAGE PORT DATA [NAME=VALUE ...]

Prints one JSON object as its last line.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

from launch.estimator import deploy, fit, make_model, make_session, transform
from launch.job import LOCAL_ROLE, Job


def main() -> None:
    out, train_image, serve_image, port, data, *pairs = sys.argv[1:]
    session = make_session(local=True, serving_port=int(port))
    hyperparameters = tuple(tuple(pair.split("=", 1)) for pair in pairs)
    job = Job(image=train_image, data=data, output=out, hyperparameters=hyperparameters)  # type: ignore[arg-type]
    estimator = fit(job, session)
    model = make_model(serve_image, estimator.model_data, LOCAL_ROLE, session)
    pictures = [path.read_bytes() for path in sorted(Path(data).glob("*.png"))[:3]]
    predictor = deploy(model, "local")
    try:
        answer = predictor.predict(pictures[0])
    finally:
        predictor.delete_endpoint()
    answers = batch_transform(model, pictures, Path(out))
    print(json.dumps({"model": estimator.model_data, "answer": answer, "answers": answers}), flush=True)


def batch_transform(model: Any, pictures: list[bytes], out: Path) -> list[Any]:
    """The answers to the pictures, in their order, by a transform job."""
    source = out / "transform-in"
    source.mkdir()
    lines = [json.dumps({"image": base64.b64encode(picture).decode()}) + "\n" for picture in pictures]
    (source / "pictures.jsonl").write_text("".join(lines))
    transform(model, "local", str(source), str(out / "transform-out"))
    return [json.loads(line) for line in (out / "transform-out/pictures.jsonl.out").read_text().splitlines()]


if __name__ == "__main__":
    main()
