"""/openapi.json is built when it is first asked for, and once."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from container.serve import app, openapi
from container.serve.settings import Settings
from container.serve.single_model import SingleModel


def test_the_document_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.from_environment({"SAGEMAKER_BASE_DIR": str(tmp_path)})
    build = Mock(wraps=openapi.document)
    monkeypatch.setattr(openapi, "document", build)
    client = app.create_app(settings, SingleModel(settings), Mock()).test_client()
    assert build.call_count == 0, "what it needs isn't imported at the start, which it would delay"
    answers = [client.get("/openapi.json") for _ in range(2)]
    assert build.call_count == 1
    assert all(answer.json == openapi.document(settings) for answer in answers)
    assert {answer.content_type for answer in answers} == {"application/json"}
