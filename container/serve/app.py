"""The HTTP side: SageMaker's routes, error answers and the line that each request leaves in the log."""

from __future__ import annotations

import hmac
import logging
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import cache, partial
from itertools import chain
from typing import Any

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from container.serve import bodies, client, errors, logs, metrics, model_routes, openapi, page
from container.serve.connections import Socket
from container.serve.handler import Call, Reply
from container.serve.metrics import Metrics
from container.serve.multi_model import MultiModel
from container.serve.service import Service
from container.serve.settings import Settings
from container.serve.single_model import SingleModel
from container.serve.streaming import EVENT_STREAM, wants_events

TRANSFORM_TOTAL_MB = 100  # batch transform: concurrent requests times their size may not exceed it
TRANSFORM_PAYLOAD_MB = 6  # its default: 1,700 pictures of formulas, which take a core about a minute
TRANSFORMS = 4  # at a time, at least; with more, or larger ones, a request could take longer than the job waits for it

log = logging.getLogger(__name__)


def create_app(settings: Settings, models: SingleModel | MultiModel, counted: Metrics) -> Flask:
    app = Flask("container.serve", static_folder=None)

    @app.get("/ping")
    def ping() -> Response:
        if problem := models.ping_problem():
            raise problem
        return Response(status=200, mimetype="text/plain")

    if isinstance(models, MultiModel):
        model_routes.add_to(app, models, partial(_invoke, settings))
    else:
        _add_single_model_routes(app, models, settings)

    if settings.shows_page:
        app.register_blueprint(page.page)

    document = cache(lambda: app.json.dumps(openapi.document(settings)))  # which never changes, and takes 12 ms

    @app.get("/openapi.json")
    def openapi_document() -> Response:
        return Response(document(), mimetype="application/json")

    if settings.shows_metrics:

        @app.get("/metrics")
        def metrics_of_all_workers() -> Response:
            models.ping_problem()  # so that `formula_model_ready` is of now
            return Response(metrics.render(), content_type=metrics.CONTENT_TYPE)

    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _any_error)
    app.before_request(_begin)
    if settings.api_key:
        app.before_request(partial(_check_key, settings.api_key.get_secret_value().strip()))
    app.after_request(partial(_end, counted))
    return app


def _add_single_model_routes(app: Flask, model: SingleModel, settings: Settings) -> None:
    @app.post("/invocations")
    @app.post("/endpoints/<name>/invocations")  # boto3's, with this server as its endpoint_url
    def invocations(name: str = "") -> Response:
        return _invoke(settings, model.admit())

    @app.get("/execution-parameters")
    def execution_parameters() -> Response:
        payload = _transform_payload_mb(settings)
        most = settings.max_transforms or _transforms(settings)
        return jsonify(
            MaxConcurrentTransforms=min(most, TRANSFORM_TOTAL_MB // payload, settings.queue_size),
            BatchStrategy=settings.batch_strategy,
            MaxPayloadInMB=payload,
        )


def _transform_payload_mb(settings: Settings) -> int:
    """As set, else batch transform's default: SageMaker waits ten minutes for the answer, unless a job has it wait."""
    is_set = "max_payload_mb" in settings.model_fields_set
    return min(settings.max_payload_mb, TRANSFORM_TOTAL_MB if is_set else TRANSFORM_PAYLOAD_MB)


def _transforms(settings: Settings) -> int:
    """Requests that keep all processes at work: of many records each two, of one record two batches."""
    each = settings.batch_size if settings.batch_strategy == "SINGLE_RECORD" else 1
    return max(TRANSFORMS, 2 * each * settings.worker_count)


def _invoke(settings: Settings, admission: AbstractContextManager[Service]) -> Response:
    """Answers the request with the model that admits it; an answer in parts stays admitted until its end.

    It takes room only once its body is there: who sends slowly takes none from others.
    """
    with ExitStack() as admitted:
        service, body = admitted.enter_context(admission), admitted.enter_context(bodies.spool())
        source, length = bodies.decoded(
            request.environ["wsgi.input"], request.content_length or 0, request.headers.get("Content-Encoding", "")
        )
        size = bodies.read_into(body, source, length, settings.max_payload_mb)
        is_small = size <= bodies.IN_MEMORY
        admitted.enter_context(service.room())
        call, (is_wanted, deadline) = _call(settings), _waiting()
        if service.takes_records(call.content_type):
            parts = service.answer_records(call, body, is_wanted, deadline, at_once=is_small)
            return _answer_records(parts, is_small, admitted)
        admitted.enter_context(service.body_room(size))
        call = call._replace(body=body.read())
        body.close()  # it would be in memory twice
        if wants_events(call.accept):
            events = service.stream(call, is_wanted, deadline)
            response = _in_parts(events, f"{EVENT_STREAM}; charset=utf-8", admitted)
            response.headers["Cache-Control"] = "no-cache"
            return response
        answer, content_type = service.answer(call, is_wanted, deadline)
    return Response(answer, content_type=content_type)


def _answer_records(parts: Generator[Reply, None, None], is_small: bool, admitted: ExitStack) -> Response:
    """A small body's answer is sent when it is complete; a large one's begins with the first window of records."""
    admitted.callback(parts.close)
    first = next(parts)  # what is refused with a status of its own is refused by now
    if is_small:
        return Response(first.body, content_type=first.content_type)
    return _in_parts(chain([first.body], (part.body for part in parts)), first.content_type, admitted)


def _in_parts(parts: Iterator[Any], content_type: str, admitted: ExitStack) -> Response:
    """A chunked answer, whose request is inside until it has been sent."""
    response = Response(parts, content_type=content_type)
    response.call_on_close(admitted.pop_all().close)
    return response


def _call(settings: Settings) -> Call:
    """The request without its body."""
    accept = request.headers.get("Accept", "")
    if accept in ("", "*/*"):
        accept = settings.default_accept
    content_type = request.content_type or "application/octet-stream"
    attributes = _pairs(request.headers.get("X-Amzn-SageMaker-Custom-Attributes", ""))
    return Call(b"", content_type, accept, request.args.to_dict(), attributes)


def _pairs(text: str) -> dict[str, str]:
    """`beam=4,n_best=3` -> its names and values; SageMaker hands the header on as the client wrote it."""
    pairs = (part.partition("=") for part in text.replace(";", ",").split(","))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _waiting() -> tuple[Callable[[], bool], float]:
    """Whether the client still waits, and until when (time.monotonic): counted from the request's first byte."""
    connection: Socket = request.environ["gunicorn.socket"]
    return lambda: not client.has_hung_up(connection), connection.deadline


def _begin() -> None:
    connection: Socket | None = request.environ.get("gunicorn.socket")  # a test's client has none
    g.started = connection.began if connection else time.monotonic()
    ids = {"request_id": uuid.uuid4().hex[:16]}
    if inference_id := request.headers.get("X-Amzn-SageMaker-Inference-Id"):
        ids["inference_id"] = inference_id
    if target_model := request.headers.get("X-Amzn-SageMaker-Target-Model"):  # a multi-model endpoint's client named it
        ids["target_model"] = target_model
    logs.REQUEST.set(ids)


def _check_key(key: str) -> None:
    """Refuses all but /ping and the page's files without the key.

    It does so before the body is read, and in the same time whatever key is tried.
    """
    scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
    is_right = hmac.compare_digest(sent.strip(" \t").encode("latin-1"), key.encode())  # WSGI has bytes as latin-1
    is_open = request.path == "/ping" or request.endpoint in page.OPEN
    if not is_open and not (is_right and scheme.lower() == "bearer"):
        raise errors.unauthorized()


def _end(counted: Metrics, response: Response) -> Response:
    """An answer in parts ends when its last is sent, in this same thread; Flask's `request` is gone by then."""
    response.headers["X-Request-Id"] = logs.REQUEST.get()["request_id"]
    route = request.url_rule.rule if request.url_rule else "other"
    fields = {
        "method": request.method,
        "path": request.path,
        "status": response.status_code,
        "bytes_in": request.content_length,
        "bytes_out": response.content_length,
        "client": request.remote_addr,
    }
    record = partial(_record, counted, route, fields, g.started, g.get("error_code"))
    if response.is_streamed:
        response.call_on_close(record)
    else:
        record()
    return response


def _record(counted: Metrics, route: str, fields: dict[str, Any], started: float, error_code: str | None) -> None:
    seconds = time.monotonic() - started
    counted.request(route, fields["status"], seconds, error_code)
    level = logging.DEBUG if fields["path"] == "/ping" else logging.INFO
    log.log(level, "request", extra={"fields": {**fields, "milliseconds": round(1000 * seconds, 1)}})


def _http_error(error: HTTPException) -> Response:
    """Flask's own refusals (404, 405, a client that hung up) in the same form."""
    status = error.code or 500
    response = _refusal(errors.ServeError(status, errors.http_code(status), error.description or ""))
    if error.get_response().headers.get("Allow"):
        response.headers["Allow"] = error.get_response().headers["Allow"]
    return response


def _any_error(error: Exception) -> Response:
    known = errors.from_exception(error)
    if known is None:
        log.error("request failed", exc_info=error)
        request_id = logs.REQUEST.get()["request_id"]
        known = errors.ServeError(500, "internal_error", f"the server failed; its log has request {request_id}")
    return _refusal(known)


def _refusal(error: errors.ServeError) -> Response:
    g.error_code = error.code
    return errors.to_response(error)
