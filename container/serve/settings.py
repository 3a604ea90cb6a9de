"""What may be set from outside: the environment variables of SageMaker's contract (S1, S7, S9, S14), checked."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from container.serve.workers import suggested_workers

MEDIA_TYPE = re.compile(r"\s*[\w*.+-]+/[\w*.+-]+\s*(;|$)")
MAX_PAYLOAD_MB = 1024  # MiB, of asynchronous inference (S8); batch transform sends up to 100, or a stream of any size


class SettingsError(Exception):
    """An environment variable has a value that can't be used; the message names it and what it may be."""


def _log_level(value: object) -> int:
    """SageMaker sends Python's number ("20"); people write the name."""
    names = logging.getLevelNamesMapping()
    level = int(str(value)) if str(value).isdigit() else names.get(str(value).upper())
    if level is None:
        raise ValueError(f"should be a number such as 20 or one of {', '.join(names)}")
    return level


def _media_types(value: str) -> str:
    if not all(MEDIA_TYPE.match(part) for part in value.split(",")):
        raise ValueError("should be a media type such as application/jsonlines")
    return value


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise ValueError("should be a folder; there is none")
    return folder


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"should be a folder; it can't be made: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"should be a folder that user {os.geteuid()} can write to")
    return folder


class Settings(BaseModel):
    """One field for each variable; the alias is the variable's name."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    base_dir: Annotated[Path, AfterValidator(_existing)] = Field(Path("/opt/ml"), alias="SAGEMAKER_BASE_DIR")
    program: str = Field("inference.py", alias="SAGEMAKER_PROGRAM")  # the handler's file in the model's code/
    # where the SDK put the handler of a Model that was given an entry_point
    submit_directory: str = Field("", alias="SAGEMAKER_SUBMIT_DIRECTORY")
    host: str = Field("0.0.0.0", alias="SERVE_HOST")  # an address of the machine; a container needs all
    port: int = Field(8080, ge=1, le=65535, alias="SAGEMAKER_BIND_TO_PORT")
    workers: int | None = Field(None, ge=1, le=64, alias="SAGEMAKER_MODEL_SERVER_WORKERS")  # each holds a model
    request_timeout: float = Field(55, gt=0, le=3600, alias="SAGEMAKER_MODEL_SERVER_TIMEOUT")  # seconds
    log_level: Annotated[int, BeforeValidator(_log_level)] = Field(logging.INFO, alias="SAGEMAKER_CONTAINER_LOG_LEVEL")
    is_batch: bool = Field(False, alias="SAGEMAKER_BATCH")  # batch transform: a large request may take long
    # What a transform job chose (0: nothing, or any payload), and /execution-parameters says again
    batch_strategy: Literal["MULTI_RECORD", "SINGLE_RECORD"] = Field("MULTI_RECORD", alias="SAGEMAKER_BATCH_STRATEGY")
    max_transforms: int = Field(0, ge=0, alias="SAGEMAKER_MAX_CONCURRENT_TRANSFORMS")  # requests at a time
    max_payload_mb: Annotated[int, AfterValidator(lambda mb: mb or MAX_PAYLOAD_MB)] = Field(
        25, ge=0, le=MAX_PAYLOAD_MB, alias="SAGEMAKER_MAX_PAYLOAD_IN_MB"
    )
    default_accept: Annotated[str, AfterValidator(_media_types)] = Field(
        "*/*", alias="SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"
    )
    batch_size: int = Field(8, ge=1, le=256, alias="SAGEMAKER_TS_BATCH_SIZE")  # pictures in one call of the model
    max_batch_delay: int = Field(10, ge=0, le=10_000, alias="SAGEMAKER_TS_MAX_BATCH_DELAY")  # milliseconds
    queue_size: int = Field(64, ge=1, le=1024, alias="SERVE_QUEUE_SIZE")  # requests inside at once; more get 503
    api_key: SecretStr | None = Field(None, alias="SERVE_API_KEY")  # outside SageMaker, whose requests can't bring one
    # which networks of a model answer; inference.py reads it too
    precision: Literal["fp32", "int8"] = Field("fp32", alias="SERVE_PRECISION")
    page: bool = Field(False, alias="SERVE_PAGE")  # a web page at /, outside SageMaker

    multi_model: bool = Field(False, alias="SAGEMAKER_MULTI_MODEL")  # models come and go at /models (S11)
    models_memory_mb: int | None = Field(None, ge=1, alias="SERVE_MODELS_MEMORY_MB")  # MiB for all models together
    evicts_models: bool = Field(False, alias="SERVE_MODELS_EVICT")  # makes room itself; SageMaker does so by unloading
    # What happens to a model whose code/inference.py isn't this image's: refused, or read by ours, or its code is run
    models_code: Literal["refuse", "ignore", "run"] = Field("refuse", alias="SERVE_MODELS_CODE")

    metrics: bool | None = Field(None, alias="SERVE_METRICS")  # whether /metrics is shown
    region: str | None = Field(
        None, alias="SAGEMAKER_REGION"
    )  # `launch` sets it on AWS, the SDK where a model has code
    # where sampled pictures are kept; none if unset
    capture_dir: Annotated[Path, AfterValidator(_writable)] | None = Field(None, alias="SERVE_CAPTURE_DIR")
    capture_share: float = Field(0.01, ge=0, le=1, alias="SERVE_CAPTURE_SHARE")  # of the requests
    capture_mb: int = Field(1000, ge=1, alias="SERVE_CAPTURE_MB")  # MiB that the folder may hold

    @model_validator(mode="after")
    def _page_has_its_route(self) -> Settings:
        if self.shows_page and self.multi_model:
            raise ValueError("SERVE_PAGE asks /invocations, which SAGEMAKER_MULTI_MODEL replaces: set one of the two")
        return self

    @model_validator(mode="after")
    def _key_can_be_brought(self) -> Settings:
        if self.api_key and self.region:
            raise ValueError(
                "SERVE_API_KEY would refuse all requests of SageMaker, where IAM decides who may ask: unset it"
            )
        return self

    @property
    def shows_page(self) -> bool:
        """Outside SageMaker only: its endpoints let nobody reach a page."""
        return self.page and self.region is None

    @property
    def shows_metrics(self) -> bool:
        """As told, else outside SageMaker, whose endpoints let nobody ask for them."""
        return self.region is None if self.metrics is None else self.metrics

    @cached_property
    def worker_count(self) -> int:
        """Processes that serve. One where models come and go: a load reaches one process, and the others lack it."""
        return 1 if self.multi_model else self.workers or suggested_workers(self.model_root)

    @property
    def model_root(self) -> Path:
        return self.base_dir / "model"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Reads the variables; one that is empty counts as not set (the SageMaker SDK sends some so).

        Raises:
            SettingsError: naming every variable with a wrong value.
        """
        try:
            return cls.model_validate({name: text for name, text in environment.items() if text.strip()})
        except ValidationError as error:
            raise SettingsError("; ".join(map(_describe, error.errors(include_url=False)))) from None


def misspelt(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that are none of the settings but nearly, and the setting that each resembles."""
    known = {str(field.alias) for field in Settings.model_fields.values()}
    near = {
        name: get_close_matches(name, known, 1, cutoff=0.9)
        for name in environment
        if name not in known and name.startswith(("SERVE_", "SAGEMAKER_"))
    }
    return {name: close[0] for name, close in near.items() if close}


def _describe(problem: object) -> str:
    assert isinstance(problem, dict)
    reason = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:  # two variables that exclude each other
        return reason
    return f"{problem['loc'][0]}={problem['input']!r}: {reason[:1].lower()}{reason[1:]}"
