"""What the server takes and answers, for people and tools: the OpenAPI 3.1 document at /openapi.json.

The models describe this project's handler functions; a model that brings its own answers as it likes. Options are those
of inference.py, and tests/contract holds a running server, and the codes in the source, to the document.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from container.serve import page
from container.serve.handler import builtin
from container.serve.model_routes import LONGEST_PAGE, Load
from container.serve.settings import Settings
from container.serve.streaming import EVENT_STREAM

REF = "#/components/schemas/{model}"
STREAM = (
    "For one picture. `event: token` with {token} for each as it is decided, then `event: done` with the Prediction, "
    "which counts, or `event: error` with the Error."
)
LINES = "A row of the answer for each line, an error in the place of a bad one. Over 1 MB: answered as it goes."
# One black dot on white: the smallest picture with ink
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAEAQAAAACBiqPTAAAAEElEQVR42mP4wCzBxMDwAQAIGgH+XZ/zJAAAAABJRU5ErkJggg=="


CONFIDENCE = (
    "how often answers of this kind were right in validation; a model without a calibration gives the network's own "
    "probability of all tokens"
)
OPTIONS = {  # of inference.py, which has their defaults and bounds
    "beam": "hypotheses followed at a time (at least n_best); 1 is greedy, and all that a stream can have",
    "n_best": "up to that many answers of different LaTeX under `n_best`, the best first",
    "tokens": "`tokens` becomes a list of objects with a confidence each",
    "constrained": "nothing but LaTeX is followed",
    "turn": "auto also tries a picture that seems to lie on its side, by its shape or a poor answer",
    "views": "sizes at which a picture is read whose first reading isn't sure",
}
TRUE_OR_FALSE = (True, False, 1, 0, "true", "false", "1", "0")  # in a body


class Token(BaseModel):
    token: str
    confidence: float | None = Field(
        ge=0, le=1, description="the network's own probability, uncalibrated; null where a repair put the token in"
    )


class Alternative(BaseModel):
    latex: str
    confidence: float = Field(ge=0, le=1, description=CONFIDENCE)


class Prediction(BaseModel):
    """What one picture shows."""

    latex: str
    tokens: list[str] | list[Token] = Field(description="objects if the option `tokens` is set")
    confidence: float = Field(ge=0, le=1, description=CONFIDENCE)
    truncated: bool = Field(description="no end was found, or the answer went round in a loop")
    model_version: str
    repaired: bool = Field(description=r"a brace, \left or \begin lacked its partner")
    blank: bool = Field(description="the picture has no ink, and the answer is empty")
    turned: Literal[0, 90, 270] = Field(description="degrees clockwise by which the picture was turned to be read")
    n_best: list[Alternative] = Field([], description="if the option `n_best` is over 1 and the picture isn't blank")


class Reason(BaseModel):
    code: str = Field(description="stable, for programs", pattern="^[a-z0-9_]+$")
    message: str = Field(description="for people")


class Error(BaseModel):
    """A refusal, or the row of a picture that can't be recognized."""

    error: Reason


class Predictions(BaseModel):
    """The rows of many pictures, in their order."""

    predictions: list[Prediction | Error]


class Picture(BaseModel):
    image: str = Field(
        description="a picture file as base64, or as a data URL", examples=[DOT], json_schema_extra={"format": "byte"}
    )


class Pictures(BaseModel):
    images: list[Any] = Field(min_length=1, description="each base64 or {image}; another gets an error as its row")


class Instances(BaseModel):
    instances: list[Any] = Field(min_length=1, description="as `images`")


class ExecutionParameters(BaseModel):
    """What batch transform asks for."""

    MaxConcurrentTransforms: int = Field(ge=1)
    BatchStrategy: Literal["MULTI_RECORD", "SINGLE_RECORD"]
    MaxPayloadInMB: int = Field(ge=1, le=100)


class LoadedModel(BaseModel):
    modelName: str  # noqa: N815  (SageMaker's names)
    modelUrl: str  # noqa: N815


class LoadedModels(BaseModel):
    """A page of the list."""

    models: list[LoadedModel]
    nextPageToken: str = Field("", description="if there are more: `next_page_token` of the next page")  # noqa: N815


MODELS = (
    Load,
    LoadedModel,
    LoadedModels,
    Prediction,
    Error,
    Predictions,
    Picture,
    Pictures,
    Instances,
    ExecutionParameters,
)
REFUSALS: dict[int, tuple[str, ...]] = {  # of pictures: what is wrong, and the codes that say what exactly
    400: (
        "The body can't be read, or an option isn't there.",
        *(
            "bad_request",
            "damaged_body",
            "empty_body",
            "incomplete_body",
            "invalid_base64",
            "invalid_form",
            "invalid_json",
            "invalid_option",
        ),
        *("invalid_text", "no_picture", "too_nested", "undecodable_image", "unknown_option"),
    ),
    406: ("`Accept` names no type that can be given.", "not_acceptable"),
    413: (
        "The body, or the picture in it, is too large.",
        *("payload_too_large", "record_too_large", "too_many_pictures", "too_many_pixels"),
    ),
    415: ("A body of this type isn't taken.", "unsupported_content_encoding", "unsupported_content_type"),
    500: ("The model failed for every picture, or the server did.", "internal_error", "recognition_failed"),
}
UNAVAILABLE = ("deadline_exceeded", "no_space", "not_ready", "overloaded", "shutting_down", "unloaded")


def document(settings: Settings) -> dict[str, Any]:
    """The document of a server with these settings."""
    _, schemas = models_json_schema([(model, "serialization") for model in MODELS], ref_template=REF)
    for name in ("Picture", "Pictures", "Instances"):  # options stand beside pictures
        schemas["$defs"][name]["properties"].update(_options(in_body=True))
        schemas["$defs"][name]["additionalProperties"] = False
    paths: dict[str, Any] = {
        "/ping": {"get": {**_get("Whether every request will be answered", {"description": "Yes."}), "security": []}},
        **(_multi_model_paths(settings) if settings.multi_model else _single_model_paths(settings)),
        **(_page_paths() if settings.shows_page else {}),
        "/openapi.json": {
            "get": _get("This document", _content("OpenAPI 3.1.", "application/json", {"type": "object"}))
        },
    }
    unhealthy = ("models_lost", "not_ready") if settings.multi_model else ("not_ready",)
    paths["/ping"]["get"]["responses"]["503"] = _unavailable(*unhealthy)
    if settings.shows_metrics:
        paths["/metrics"] = {"get": _get("For Prometheus", _content("Text format.", "text/plain", {"type": "string"}))}
    components: dict[str, Any] = {"schemas": schemas["$defs"]}
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Formula recognizer", "version": "1", "description": "Picture of a formula -> LaTeX"},
        "paths": paths,
        "components": components,
    }
    operations = [each for path in paths.values() for name, each in path.items() if name != "parameters"]
    for operation in operations:
        operation["responses"] = {**operation["responses"], **_refusals_of_any_route()}
    if settings.api_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"key": []}]
        for operation in operations:
            if "security" not in operation:
                operation["responses"]["401"] = _refused("The key is missing or wrong.", "unauthorized")
    return described


def _refusals_of_any_route() -> dict[str, Any]:
    """What a request gets that never becomes one, or is none of this route: nothing else of it is looked at."""
    return {
        "405": _refused("The route has another method, which `Allow` names.", "method_not_allowed"),
        "408": _refused("The request stopped arriving.", "body_timeout"),
        "414": _refused("The request's line is over 4 KB.", "uri_too_long"),
        "417": _refused("`Expect` asks for something else than 100-continue.", "expectation_failed"),
        "431": _refused("The head has no end, over 100 fields, or one of over 8 KB.", "head_too_large"),
        "501": _refused("`Transfer-Encoding` names something else than chunked.", "not_implemented"),
    }


def _single_model_paths(settings: Settings) -> dict[str, Any]:
    return {
        "/invocations": {"post": _invocations(settings)},
        "/endpoints/{name}/invocations": {
            "parameters": [_parameter("name", "path", {"type": "string", "minLength": 1}, required=True)],
            "post": {**_invocations(settings), "summary": "The same, as boto3's invoke_endpoint asks an endpoint_url"},
        },
        "/execution-parameters": {"get": _get("For batch transform", _json("Limits.", "ExecutionParameters"))},
    }


def _multi_model_paths(settings: Settings) -> dict[str, Any]:
    name = _parameter("name", "path", {"type": "string", "minLength": 1}, required=True)
    limit = _parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE})
    token = _parameter("next_page_token", "query", {"type": "string"})
    one, missing = _json("The model.", "LoadedModel"), {"404": _refused("No such model is loaded.", "model_not_loaded")}
    invoke = _invocations(settings)
    load = {
        "summary": "Load a model",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("Load")}}},
        "responses": {
            "200": one,
            "400": _refused(
                "The body, the url or the model can't be used.",
                *("invalid_body", "invalid_url", "own_code_refused", "unsafe_model", "unusable_model"),
            ),
            "404": _refused("There is no model at the url.", "model_not_found"),
            "409": _refused("A model of this name is loaded, or being loaded.", "model_already_loaded"),
            "413": _refused("The body is too large.", "payload_too_large"),
            "503": _unavailable("overloaded"),
            "507": _refused("There is no room in memory. Nothing was unloaded.", "insufficient_memory"),
        },
    }
    listed = _get("Loaded models by name", _json("A page of them.", "LoadedModels"))
    listed["responses"]["400"] = _refused("The limit is none.", "invalid_limit")
    return {
        "/models": {"post": load, "get": {**listed, "parameters": [limit, token]}},
        "/models/{name}": {
            "parameters": [name],
            "get": {"summary": "One loaded model", "responses": {"200": one, **missing}},
            "delete": {"summary": "Unload a model", "responses": {"200": one, **missing}},
        },
        "/models/{name}/invoke": {
            "parameters": [name],
            "post": {**invoke, "responses": {**invoke["responses"], **missing}},
        },
    }


def _page_paths() -> dict[str, Any]:
    """The web page, which needs no key, and what it asks for its formulas."""
    name = _parameter("name", "path", {"type": "string", "minLength": 1}, required=True)
    html, file = _content("HTML.", "text/html", {"type": "string"}), {"description": "Script, style or icon."}
    latex = {"type": "string", "description": f"UTF-8, at most {page.LONGEST_LATEX} bytes"}
    typeset = {
        "summary": "LaTeX -> MathML",
        "requestBody": {"required": True, "content": {"text/plain": {"schema": latex}}},
        "responses": {
            "200": _content("One <math> element.", "application/mathml+xml", {"type": "string"}),
            "400": _refused("The body isn't UTF-8.", "invalid_text"),
            "413": _refused("The body is too large.", "payload_too_large"),
            "422": _refused("No formula can be drawn from it.", "not_typesettable"),
        },
    }
    shown = {**_get("A file of the page", file), "parameters": [name], "security": []}
    shown["responses"]["404"] = _refused("There is no such file.", "not_found")
    return {
        "/": {"get": {**_get("The web page", html), "security": []}},
        "/page/{name}": {"get": shown},
        "/mathml": {"post": typeset},
    }


def _options(in_body: bool) -> dict[str, dict[str, Any]]:
    """The schema of each option that inference.py knows; in a body numbers and truth may be texts too."""
    inference, schemas = builtin(), {}
    for option in fields(inference.Options):
        allowed: dict[str, Any]
        if option.name in inference.LIMITS:
            numbers = range(1, inference.LIMITS[option.name] + 1)
            allowed = {"type": "integer", "minimum": numbers[0], "maximum": numbers[-1]}
            if in_body:
                allowed = {"enum": [*numbers, *map(str, numbers)]}
        elif option.name in inference.CHOICES:
            allowed = {"type": "string", "enum": list(inference.CHOICES[option.name])}
        else:
            allowed = {"enum": list(TRUE_OR_FALSE)} if in_body else {"type": "boolean"}
        schemas[option.name] = {**allowed, "default": option.default, "description": OPTIONS[option.name]}
    return schemas


def _parameter(name: str, place: str, schema: dict[str, Any], required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": place, "required": required, "schema": schema}


def _invocations(settings: Settings) -> dict[str, Any]:
    base64 = {"type": "array", "items": {}, "minItems": 1}
    bodies: dict[str, Any] = {
        kind: {"schema": {"type": "string", "format": "binary", "maxLength": settings.max_payload_mb * 1024 * 1024}}
        for kind in (*builtin().PICTURE_TYPES.values(), *builtin().BYTES)
    }
    bodies["application/json"] = {"schema": {"oneOf": [*map(_ref, ("Picture", "Pictures", "Instances")), base64]}}
    # No type: whatever a line is, it gets a row.
    bodies["application/jsonlines"] = {"schema": {"description": f'{{"image": BASE64}} on each line. {LINES}'}}
    bodies["text/csv"] = {"schema": {"description": f"A column of base64, no header. {LINES}"}}
    fields = {"image": {"type": "string", "format": "binary"}, **_options(in_body=True)}
    form = {"type": "object", "required": ["image"], "properties": fields, "additionalProperties": False}
    bodies["multipart/form-data"] = {"schema": form}
    answers = {
        "application/json": {"schema": {"anyOf": [_ref("Prediction"), _ref("Predictions")]}},
        **{kind: {"schema": {"type": "string"}} for kind in ("application/jsonlines", "text/csv", "text/plain")},
        EVENT_STREAM: {"schema": {"type": "string", "description": STREAM}},
    }
    return {
        "summary": "Recognize one picture or many",
        "description": "Options may also stand in X-Amzn-SageMaker-Custom-Attributes: beam=4,n_best=3",
        "parameters": [_parameter(name, "query", schema) for name, schema in _options(in_body=False).items()],
        "requestBody": {"required": True, "content": bodies},
        "responses": {
            "200": {"description": "As `Accept` asks.", "content": answers},
            **{str(status): _refused(*refusal) for status, refusal in REFUSALS.items()},
            "503": _unavailable(*UNAVAILABLE),
        },
    }


def _get(summary: str, answer: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": answer}}


def _unavailable(*codes: str) -> dict[str, Any]:
    retry = {"description": "seconds", "required": True, "schema": {"type": "integer", "minimum": 1}}
    return {**_refused("Not now.", *codes), "headers": {"Retry-After": retry}}


def _refused(description: str, *codes: str) -> dict[str, Any]:
    one_of_these = {"properties": {"error": {"properties": {"code": {"enum": list(codes)}}}}}
    return _content(description, "application/json", {"allOf": [_ref("Error"), one_of_these]})


def _json(description: str, model: str) -> dict[str, Any]:
    return _content(description, "application/json", _ref(model))


def _content(description: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {kind: {"schema": schema}}}


def _ref(model: str) -> dict[str, str]:
    return {"$ref": REF.format(model=model)}
