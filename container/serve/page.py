"""The web page at `/`: a formula pasted, dropped, photographed or drawn, and its LaTeX. Off unless SERVE_PAGE is set.

Off on SageMaker too, which asks /ping and /invocations only. The page itself is static (page/: HTML, CSS and ES
modules, no build step) and asks /invocations as any client does; only formulas to look at come from /mathml.
"""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, request, send_from_directory

from container.serve import bodies
from container.serve.errors import ServeError
from container.serve.mathml import to_mathml

FOLDER = Path(__file__).with_suffix("")
# The types are spelled out: Python's guess depends on the machine's list, and modules of another type aren't run.
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".txt": "text/plain",
}
# The page runs its own files, talks to its own server, and can't be framed. data: and blob: are pictures it was given.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
OPEN = frozenset(["page.index", "page.file"])  # endpoints that need no key: the page must be there to ask for it
LONGEST_LATEX = 8192  # bytes

page = Blueprint("page", __name__)


@page.get("/")
def index() -> Response:
    return _send("index.html")


@page.get("/page/<name>")
def file(name: str) -> Response:
    return _send(name)


@page.post("/mathml")
def mathml() -> Response:
    """LaTeX in, MathML out, both as plain UTF-8 bodies.

    Raises:
        ServeError: 400 `invalid_text`, 413 `payload_too_large`, 422 `not_typesettable`.
    """
    body = bodies.read_small(request.stream, LONGEST_LATEX)
    try:
        return Response(to_mathml(body.decode()), mimetype="application/mathml+xml")
    except UnicodeDecodeError as error:
        raise ServeError(400, "invalid_text", f"the LaTeX is not UTF-8: {error}") from None


@page.after_request
def _guard(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _send(name: str) -> Response:
    """A file of the page with an ETag; a browser keeps it and asks each time whether it has changed.

    Raises:
        NotFound: there is no such file.
    """
    response = send_from_directory(FOLDER, name, mimetype=TYPES.get(Path(name).suffix))
    response.headers["Cache-Control"] = "no-cache"
    return response
