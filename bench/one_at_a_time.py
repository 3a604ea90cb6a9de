"""The usual way to serve a model, to compare with: Flask under gunicorn's sync workers, a request at a time in each.

BENCH_MODEL=folder gunicorn --workers 2 'bench.one_at_a_time:functions()', or 'toolkit()' for AWS's inference toolkit
around the same functions.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from flask import Flask, Response, request

Answer = Callable[[bytes, str], Response]  # body, content type -> the answer


def functions() -> Flask:
    """The handler functions, called as they are."""
    from inference import Recognizer, input_fn, output_fn, predict_fn

    model = Recognizer.load(os.environ["BENCH_MODEL"])

    def answer(body: bytes, content_type: str) -> Response:
        answer, kind = output_fn(predict_fn(input_fn(body, content_type), model), "*/*")
        return Response(answer, content_type=kind)

    return _app(answer)


def toolkit() -> Flask:
    """The toolkit calls them; it must be on Python's path."""
    from bench.aws_toolkit import Toolkit

    model = Toolkit(os.environ["BENCH_MODEL"])

    def answer(body: bytes, content_type: str) -> Response:
        reply = model.answer(body, content_type, "*/*")
        return Response(reply.body, reply.status, content_type=reply.content_type)

    return _app(answer)


def _app(answer: Answer) -> Flask:
    app = Flask(__name__)

    @app.get("/ping")
    def ping() -> str:
        return ""

    @app.post("/invocations")
    def invocations() -> Response:
        return answer(request.get_data(), request.content_type or "")

    return app
