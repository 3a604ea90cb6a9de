"""/openapi.json keeps its word: schemathesis makes requests of it, right and wrong ones, and checks every answer."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.server import Server

OPTIONS = [
    "--max-examples=40",
    "--seed=1",
    "--generation-database=none",
    "--phases=examples,coverage,fuzzing",
    "--checks=all",
    "--exclude-checks=positive_data_acceptance",  # random bytes are a body as promised, yet no picture
    "--no-color",
]


@pytest.mark.parametrize(("key", "mode"), [(None, {}), ("key", {}), (None, {"SAGEMAKER_MULTI_MODEL": "true"})])
def test_answers_are_as_promised(tiny_base_dir, tmp_path, key, mode):
    with Server(tiny_base_dir, {**mode, **({"SERVE_API_KEY": key} if key else {})}) as server:
        url = f"http://127.0.0.1:{server.wait_until_ready().port}/openapi.json"
        command = [sys.executable, "-m", "schemathesis.cli", "run", url, *OPTIONS]
        if key:
            command += ["--header", f"Authorization: Bearer {key}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Fuzzing" in done.stdout and "failed" not in done.stdout
