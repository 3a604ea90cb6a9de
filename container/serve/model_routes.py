"""The routes of a multi-model endpoint (S11), in the place of /invocations.

https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import unquote, urlsplit

from flask import Flask, Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from werkzeug.routing import UnicodeConverter

from container.serve import bodies
from container.serve.errors import ServeError
from container.serve.multi_model import MultiModel
from container.serve.service import Service

LONGEST_LOAD = 64 * 1024  # bytes of a body that names a model
PAGE = 100  # models
LONGEST_PAGE = 1000


class Load(BaseModel):
    """The body of `POST /models`."""

    model_config = ConfigDict(strict=True, protected_namespaces=())

    model_name: str = Field(min_length=1, max_length=256)  # it must fit into a request line, encoded
    url: str = Field(min_length=1, max_length=4096, description="folder of a model, or its .tar.gz, in the container")


class NameConverter(UnicodeConverter):
    """A model's name, percent-encoded in the path (`_EncodedPaths`), as it is."""

    def to_python(self, value: str) -> str:
        return unquote(value)


class _EncodedPaths:
    """Hands paths below /models/ on as the client wrote them: decoded, a name's slashes would look like the path's."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/models/"):
            environ["PATH_INFO"] = urlsplit(environ["RAW_URI"]).path
        return self._app(environ, start_response)


def add_to(app: Flask, models: MultiModel, invoke: Callable[[AbstractContextManager[Service]], Response]) -> None:
    """Adds the routes.

    Args:
        invoke: answers the current request with the model that admits it.
    """
    app.wsgi_app = _EncodedPaths(app.wsgi_app)  # type: ignore[method-assign]
    app.url_map.converters["name"] = NameConverter
    app.url_map.merge_slashes = False

    @app.post("/models")
    def load() -> Response:
        wanted = _load_body()
        return jsonify(models.load(wanted.model_name, wanted.url))

    @app.get("/models")
    def list_models() -> Response:
        shown, last = models.page(_limit(request.args.get("limit")), request.args.get("next_page_token", ""))
        return jsonify({"models": shown, **({"nextPageToken": last} if last is not None else {})})

    @app.get("/models/<name:name>")
    def get(name: str) -> Response:
        return jsonify(models.get(name))

    @app.delete("/models/<name:name>")
    def unload(name: str) -> Response:
        return jsonify(models.unload(name))

    @app.post("/models/<name:name>/invoke")
    def invoke_model(name: str) -> Response:
        return invoke(models.admit(name))


def _load_body() -> Load:
    """Raises: ServeError: 400 `invalid_body`, 413 `payload_too_large`."""
    body = bodies.read_small(request.stream, LONGEST_LOAD)
    try:
        return Load.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"])) or "the body"
        wanted = 'expected {"model_name": ..., "url": ...}'
        raise ServeError(400, "invalid_body", f"{where}: {problem['msg']}; {wanted}") from None


def _limit(text: str | None) -> int:
    """Raises: ServeError: 400 `invalid_limit`."""
    if text is None:
        return PAGE
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= LONGEST_PAGE and len(text) < 9):
        raise ServeError(400, "invalid_limit", f"limit={text!r}: a number from 1 to {LONGEST_PAGE} was expected")
    return int(text)
