"""Errors as a client sees them: `{"error": {"code", "message"}}` with a stable code, and never a traceback."""

from __future__ import annotations

import json
from http import HTTPStatus

from flask import Response

RETRY_SECONDS = 5


class ServeError(Exception):
    """A refusal. `retry_after` (seconds) says when the same request may succeed; every 503 has it."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.retry_after = RETRY_SECONDS if retry_after is None and status == 503 else retry_after

    def to_dict(self) -> dict[str, dict[str, str]]:
        return {"error": {"code": self.code, "message": self.message}}


def not_ready(reason: str) -> ServeError:
    return ServeError(503, "not_ready", reason)


def models_lost(number: int) -> ServeError:
    reason = f"a process died with {number} loaded models, which this one lacks: start the container anew"
    return ServeError(503, "models_lost", reason)


def overloaded(waiting: int) -> ServeError:
    return ServeError(503, "overloaded", f"{waiting} requests are waiting already; try again", retry_after=1)


def no_picture_memory(limit_mb: int) -> ServeError:
    message = f"the pictures of other requests take the {limit_mb} MB that are set aside for them; try again"
    return ServeError(503, "overloaded", message, retry_after=1)


def deadline_exceeded(seconds: float) -> ServeError:
    return ServeError(503, "deadline_exceeded", f"no answer within {seconds:g} s; try again")


def shutting_down() -> ServeError:
    return ServeError(503, "shutting_down", "the server is stopping; ask another one", retry_after=1)


def unloaded() -> ServeError:
    return ServeError(503, "unloaded", "the model was unloaded while this request was still arriving", retry_after=1)


def late() -> ServeError:
    return ServeError(408, "body_timeout", "the request stopped arriving, or came too slowly")


def head_too_large() -> ServeError:
    return ServeError(431, "head_too_large", "the request's head has no end; send fewer or shorter headers")


def client_gone() -> ServeError:
    """For the log and the metrics, with nginx's status: nobody reads this answer."""
    return ServeError(499, "client_gone", "the client closed the connection before its turn came")


def unauthorized() -> ServeError:
    return ServeError(401, "unauthorized", "send the header `Authorization: Bearer KEY` with this server's key")


def too_nested() -> ServeError:
    return ServeError(400, "too_nested", "the body is nested too deeply, or a header in its form is damaged")


def payload_too_large(limit_mb: int) -> ServeError:
    return ServeError(
        413, "payload_too_large", f"the body is over {limit_mb} MB, the limit that SAGEMAKER_MAX_PAYLOAD_IN_MB sets"
    )


def record_too_large(limit_mb: int) -> ServeError:
    """For the row of one record of many."""
    return ServeError(413, "record_too_large", f"the record is over {limit_mb} MB, the most that one of many may have")


def no_space(folder: str, reason: OSError) -> ServeError:
    return ServeError(503, "no_space", f"{folder} has no room for the body ({reason.strerror}); send less at once")


def from_exception(error: Exception) -> ServeError | None:
    """The client's error that an exception stands for, or None for a fault of ours.

    A handler's own exception counts when it has a 4xx or 5xx `status`, a `code` and a `message`, as RequestError
    of inference.py does: that class comes with the model, so it can't be imported and compared.
    """
    if isinstance(error, ServeError):
        return error
    status, code, message = (getattr(error, name, None) for name in ("status", "code", "message"))
    if isinstance(status, int) and 400 <= status < 600 and isinstance(code, str) and isinstance(message, str):
        return ServeError(status, code, message)
    return None


def to_response(error: ServeError) -> Response:
    response = Response(json.dumps(error.to_dict(), ensure_ascii=False), error.status, mimetype="application/json")
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def to_bytes(error: ServeError) -> bytes:
    """The whole answer, for a request that reaches no thread, after which its connection is closed."""
    response = to_response(error)
    response.headers["Connection"] = "close"
    return f"HTTP/1.1 {response.status}\r\n{response.headers}".encode() + response.data


def http_code(status: int) -> str:
    """405 -> `method_not_allowed`."""
    return HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_")
