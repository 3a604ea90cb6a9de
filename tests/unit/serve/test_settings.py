"""Settings from the environment: the contract's variables, their limits, and errors that name the variable."""

from __future__ import annotations

import logging
import re

import pytest

import container.serve.__main__ as serve
from container.serve.settings import Settings, SettingsError, misspelt
from tests.support.server import ROOT


def test_reads_the_contracts_variables():
    settings = Settings.from_environment(
        {
            "SAGEMAKER_BIND_TO_PORT": "9000",
            "SAGEMAKER_MODEL_SERVER_WORKERS": "2",
            "SAGEMAKER_MODEL_SERVER_TIMEOUT": "900",
            "SAGEMAKER_CONTAINER_LOG_LEVEL": "10",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": "100",
            "SAGEMAKER_TS_BATCH_SIZE": "16",
            "SAGEMAKER_TS_MAX_BATCH_DELAY": "0",
            "UNKNOWN": "is ignored",
        }
    )
    assert (settings.port, settings.workers, settings.request_timeout) == (9000, 2, 900)
    assert (settings.log_level, settings.max_payload_mb) == (logging.DEBUG, 100)
    assert (settings.batch_size, settings.max_batch_delay) == (16, 0)


def test_what_help_and_compose_name_is_a_setting():
    """A name that is none is ignored without a word: SERVE_MAX_BATCH stood in both."""
    known = {field.alias for field in Settings.model_fields.values()}
    compose = (ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8")
    passed_on = compose.partition("  serve:")[2].partition("environment: [")[2].partition("]")[0]
    named = re.findall(r"\b(?:SERVE|SAGEMAKER)_[A-Z_]+", f"{serve.__doc__} {passed_on}")

    assert len(named) > 5
    assert set(named) <= known


def test_empty_counts_as_not_set():
    """The SDK sends SAGEMAKER_PROGRAM="" for a model without an entry point of its own."""
    assert Settings.from_environment(
        {"SAGEMAKER_PROGRAM": "", "SAGEMAKER_BIND_TO_PORT": " "}
    ) == Settings.from_environment({})


@pytest.mark.parametrize(("text", "level"), [("20", 20), ("info", 20), ("WARNING", 30), ("5", 5)])
def test_log_level_by_number_or_name(text, level):
    assert Settings.from_environment({"SAGEMAKER_CONTAINER_LOG_LEVEL": text}).log_level == level


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SAGEMAKER_BIND_TO_PORT", "70000"),
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "many"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "-1"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "nan"),
        ("SAGEMAKER_CONTAINER_LOG_LEVEL", "loud"),
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "2000"),
        ("SAGEMAKER_BATCH_STRATEGY", "MANY"),
        ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "json"),
        ("SAGEMAKER_BASE_DIR", "/nowhere"),
        ("SERVE_CAPTURE_DIR", "/dev/null/folder"),
        ("SERVE_CAPTURE_DIR", "/dev/null"),
    ],
)
def test_wrong_value_is_named(name, text):
    with pytest.raises(SettingsError, match=rf"^{name}='{text}': (input )?should be"):
        Settings.from_environment({name: text})


def test_names_that_are_nearly_settings_are_found():
    """They have no effect, and nobody would notice; the platform's own and other programs' are none of these."""
    environment = dict.fromkeys(["SERVE_QUEUESIZE", "SAGEMAKER_MODEL_SERVER_WORKER", "SERVE_PORT", "SAGEMAKER_ENV"], "")
    assert misspelt(environment | {"SERVE_PAGE": "1"}) == {
        "SERVE_QUEUESIZE": "SERVE_QUEUE_SIZE",
        "SAGEMAKER_MODEL_SERVER_WORKER": "SAGEMAKER_MODEL_SERVER_WORKERS",
    }


def test_a_folder_for_captured_pictures_is_made(tmp_path):
    Settings.from_environment({"SERVE_CAPTURE_DIR": str(tmp_path / "a/b")})
    assert (tmp_path / "a/b").is_dir()


def test_all_wrong_values_are_named():
    with pytest.raises(SettingsError, match=r"BIND_TO_PORT.*; SAGEMAKER_TS_BATCH_SIZE"):
        Settings.from_environment({"SAGEMAKER_BIND_TO_PORT": "a", "SAGEMAKER_TS_BATCH_SIZE": "b"})


def test_several_models_are_served_by_one_process():
    """A load reaches one process; the others would lack the model."""
    variables = {"SAGEMAKER_MODEL_SERVER_WORKERS": "4"}
    assert Settings.from_environment(variables).worker_count == 4
    assert Settings.from_environment({**variables, "SAGEMAKER_MULTI_MODEL": "true"}).worker_count == 1


def test_the_page_and_several_models_exclude_each_other():
    with pytest.raises(SettingsError, match=r"SERVE_PAGE.*SAGEMAKER_MULTI_MODEL"):
        Settings.from_environment({"SERVE_PAGE": "1", "SAGEMAKER_MULTI_MODEL": "true"})
    on_sagemaker = {"SERVE_PAGE": "1", "SAGEMAKER_MULTI_MODEL": "true", "SAGEMAKER_REGION": "eu-west-1"}
    assert not Settings.from_environment(on_sagemaker).shows_page  # there is no page there, so nothing is in its way


def test_a_key_that_sagemaker_cannot_bring_is_refused_at_the_start():
    with pytest.raises(SettingsError, match=r"SERVE_API_KEY .*IAM"):
        Settings.from_environment({"SERVE_API_KEY": "secret", "SAGEMAKER_REGION": "eu-west-1"})
