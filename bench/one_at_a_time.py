"""The usual way to serve a model, to compare with: Flask under gunicorn's sync workers, a request at a time in each.

BENCH_MODEL=folder gunicorn --workers 2 bench.one_at_a_time:app
"""

from __future__ import annotations

import os

from flask import Flask, Response, request

from inference import Recognizer, input_fn, output_fn, predict_fn

app = Flask(__name__)
model = Recognizer.load(os.environ["BENCH_MODEL"])


@app.get("/ping")
def ping() -> str:
    return ""


@app.post("/invocations")
def invocations() -> Response:
    answer = predict_fn(input_fn(request.get_data(), request.content_type or ""), model)
    body, content_type = output_fn(answer, "*/*")
    return Response(body, content_type=content_type)
