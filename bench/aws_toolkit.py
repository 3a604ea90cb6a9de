"""AWS's inference toolkit (github.com/aws/sagemaker-inference-toolkit) with our inference.py, without the server that
AWS puts in front of it: multi-model-server needs Java.

Imported where the toolkit is (.venv-aws-toolkit): by the server that is compared with ours, and by the test of S13.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

from sagemaker_inference.transformer import Transformer


class Reply(NamedTuple):
    status: int
    content_type: str
    body: str


class Context(SimpleNamespace):
    """What multi-model-server hands to the toolkit with a request, and takes the answer's head from."""

    def set_response_content_type(self, number: int, name: str) -> None:
        self.content_type = name

    def set_response_status(self, code: int, phrase: str) -> None:
        self.status = code


class Toolkit:
    """The model and the handler functions that SAGEMAKER_BASE_DIR, SAGEMAKER_PROGRAM and Python's path lead to."""

    def __init__(self, model_dir: str) -> None:
        self._model_dir, self._transformer = model_dir, Transformer()
        self._transformer.validate_and_initialize(model_dir)

    def answer(self, body: bytes, content_type: str, accept: str) -> Reply:
        """One request; what fails has the toolkit's status and text."""
        headers = {"Content-Type": content_type, "Accept": accept}
        processor = SimpleNamespace(get_request_properties=lambda: headers)
        context = Context(
            request_processor=[processor],
            system_properties={"model_dir": self._model_dir},
            status=200,
            content_type="text/plain",
        )
        (answer,) = self._transformer.transform([{"body": body}], context)
        return Reply(int(context.status), context.content_type, answer)
