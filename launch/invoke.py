"""Ask a running server for the LaTeX of pictures: `python -m launch.invoke formula.png`. What `make invoke` runs.

Standard library only, so that it runs before anything is installed. It says what curl would say as well:
`curl --data-binary @formula.png -H 'Content-Type: image/png' http://127.0.0.1:8080/invocations`.
SERVE_API_KEY is the key of a server that asks for one.
"""

from __future__ import annotations

import argparse
import http.client
import mimetypes
import os
import sys
from contextlib import closing
from pathlib import Path

TIMEOUT = 60.0  # seconds; SageMaker's own limit for an invocation (S3)


class InvokeError(Exception):
    """The picture or the server can't be used; the message says what to do."""


def invoke(picture: Path, host: str, port: int, accept: str = "application/json") -> str:
    """The server's answer to one picture file, as text.

    Raises:
        InvokeError: no such file, no server there, or the server's refusal in its own words.
    """
    try:
        body = picture.read_bytes()
    except OSError as error:
        raise InvokeError(f"{picture}: {error.strerror}; name a picture file") from error
    kind = mimetypes.guess_type(picture.name)[0] or "application/x-image"
    headers = {"Content-Type": kind, "Accept": accept, **_authorization()}
    try:
        with closing(http.client.HTTPConnection(host, port, timeout=TIMEOUT)) as connection:
            connection.request("POST", "/invocations", body, headers)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a host or header that none can be
        where = f"http://{host}:{port}"
        raise InvokeError(
            f"no answer from {where} ({error}); is it running? Start it with: make serve-local"
        ) from error
    if answer.status != 200:
        raise InvokeError(f"{picture}: the server refused it with status {answer.status}: {text}")
    return text


def _authorization() -> dict[str, str]:
    key = os.environ.get("SERVE_API_KEY", "").strip()
    return {"Authorization": f"Bearer {key}".encode().decode("latin-1")} if key else {}  # as UTF-8


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="invoke", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pictures", nargs="+", type=Path, help="picture files: PNG, JPEG, ...")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=8080, type=int)
    parser.add_argument("--accept", default="application/json", help="or text/plain, text/csv")
    options = parser.parse_args(arguments)
    try:
        for picture in options.pictures:
            print(invoke(picture, options.host, options.port, options.accept), flush=True)
    except InvokeError as error:
        print(f"invoke: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
